//! Where it is measured: an origin, and the proxies in front of it, all on loopback.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::Instant;

use super::events::Clock;
use crate::binary;
use crate::group::Group;

const READY: Duration = Duration::from_secs(10);
/// How many threads, or processes, each proxy has.
const WORKERS: usize = 2;

/// What the figures of the others are compared with.
pub(super) const REFERENCE: &str = "nginx";
pub(super) const DIRECT: &str = "direct";
pub(super) const HAPROXY: &str = "haproxy";
pub(super) const SQUALL: &str = "squall";
const OTHER_FAULTS: &str = "squall, 100 other faults";
const ZERO_LATENCY: &str = "squall, latency of 0 ms";
pub(super) const DELAYED: &str = "squall, latency of 50 ms";

/// One way to the origin.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// Leads to the origin that sends paced events.
    pub(super) events: SocketAddr,
    pub(super) pid: Option<u32>,
}

/// All of them, until this is dropped.
pub(super) struct Stand {
    pub(super) targets: Vec<Target>,
    /// For the part that needs it alone.
    pub(super) delayed: Target,
    pub(super) clock: Clock,
    pub(super) folder: PathBuf,
    _processes: Vec<Group>,
}

impl Stand {
    pub(super) fn set_up(squall: Option<&Path>) -> Result<Self> {
        for program in ["wrk", "nginx", "haproxy"] {
            needs(program)?;
        }
        let squall = match squall {
            Some(path) => path.to_owned(),
            None => binary::release()?,
        };
        let folder = std::env::temp_dir().join(format!("squall-bench-{}", std::process::id()));
        fs::create_dir_all(folder.join("files")).context("cannot make a folder")?;
        for (name, size) in [("100k", 100_000), ("10m", 10_000_000)] {
            fs::write(folder.join("files").join(name), vec![b'x'; size])?;
        }
        let clock = Clock::start()?;
        let (origin, events) = (free()?, clock.address);
        let mut processes = vec![nginx(&folder, "origin", &origin_config(&folder, origin))?];
        let direct = Target { name: DIRECT, address: origin, events, pid: None };
        let mut targets = vec![direct];
        let (address, at) = (free()?, free()?);
        let group =
            nginx(&folder, "proxy", &nginx_config(&folder, &[(address, origin), (at, events)]))?;
        targets.push(Target { name: REFERENCE, address, events: at, pid: Some(group.id()) });
        processes.push(group);
        let (address, at) = (free()?, free()?);
        let group = haproxy(&folder, &[(address, origin), (at, events)])?;
        targets.push(Target { name: HAPROXY, address, events: at, pid: Some(group.id()) });
        processes.push(group);
        let mut delayed = direct;
        let faults = [
            (SQUALL, String::new()),
            (OTHER_FAULTS, other_faults()),
            (ZERO_LATENCY, latency("0ms")),
            (DELAYED, latency("50ms")),
        ];
        for (number, (name, faults)) in faults.into_iter().enumerate() {
            let file = folder.join(format!("faults-{number}.yaml"));
            fs::write(&file, faults)?;
            let (address, at) = (free()?, free()?);
            let group = squall_proxy(&squall, address, origin, &file)?;
            let second = squall_proxy(&squall, at, events, &file)?;
            let target = Target { name, address, events: at, pid: Some(group.id()) };
            if name == DELAYED {
                delayed = target;
            } else {
                targets.push(target);
            }
            processes.extend([group, second]);
        }
        let stand = Self { targets, delayed, clock, folder, _processes: processes };
        for target in stand.targets.iter().chain([&stand.delayed]) {
            until_it_listens(target.name, target.address)?;
            until_it_listens(target.name, target.events)?;
        }
        Ok(stand)
    }

    /// The targets in another order each round, so that none is always the one after the same.
    pub(super) fn turns(&self, round: u32) -> impl Iterator<Item = &Target> {
        let count = self.targets.len();
        (0..count).map(move |step| &self.targets[(step + round as usize) % count])
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether a program is here.
pub(super) fn needs(program: &str) -> Result<()> {
    let mut asked = Command::new(program);
    let found = asked.arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.with_context(|| format!("there is no {program} here: install it first"))?;
    Ok(())
}

/// A port that nobody has, and may be taken.
pub(super) fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

pub(super) fn until_it_listens(name: &str, address: SocketAddr) -> Result<()> {
    let end = Instant::now() + READY;
    while TcpStream::connect(address).is_err() {
        ensure!(Instant::now() < end, "{name} does not listen on {address}");
        std::thread::yield_now();
    }
    Ok(())
}

pub(super) fn start(command: &mut Command) -> Result<Group> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let name = command.get_program().to_owned();
    Group::serve(command).with_context(|| format!("cannot start {}", name.display()))
}

pub(super) fn nginx(folder: &Path, name: &str, config: &str) -> Result<Group> {
    let file = folder.join(format!("{name}.conf"));
    fs::write(&file, config)?;
    start(
        Command::new("nginx")
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(&file)
            .args(["-g", "daemon off;"]),
    )
}

fn common(folder: &Path, name: &str) -> String {
    let folder = folder.display();
    format!(
        "worker_processes {WORKERS};\npid {folder}/{name}.pid;\nerror_log /dev/null;\n\
         events {{ worker_connections 4096; }}\n"
    )
}

pub(super) fn origin_config(folder: &Path, origin: SocketAddr) -> String {
    let (common, root) = (common(folder, "origin"), folder.join("files"));
    let root = root.display();
    format!(
        "{common}http {{\n  access_log off;\n  keepalive_requests 1000000000;\n  sendfile on;\n  \
         tcp_nopush on;\n  server {{\n    listen {origin} reuseport backlog=4096;\n    root {root};\n    \
         location = /mcp {{ default_type application/json; return 200 '{ANSWER}'; }}\n  }}\n}}\n"
    )
}

fn nginx_config(folder: &Path, ways: &[(SocketAddr, SocketAddr)]) -> String {
    let mut config = common(folder, "proxy");
    config += "http {\n  access_log off;\n  keepalive_requests 1000000000;\n";
    for (number, (address, to)) in ways.iter().enumerate() {
        // Its buffers are good for large answers, and keep events back.
        let buffering = if number == 0 { "on" } else { "off" };
        let _ = write!(
            config,
            "  upstream to{number} {{ server {to}; keepalive 64; keepalive_requests 1000000000; }}\n  \
             server {{\n    listen {address} reuseport backlog=4096;\n    location / {{\n      \
             proxy_pass http://to{number};\n      proxy_http_version 1.1;\n      \
             proxy_set_header Connection '';\n      proxy_buffering {buffering};\n    }}\n  }}\n"
        );
    }
    config + "}\n"
}

fn haproxy(folder: &Path, ways: &[(SocketAddr, SocketAddr)]) -> Result<Group> {
    let mut config = format!(
        "global\n  nbthread {WORKERS}\n  maxconn 4000\ndefaults\n  mode http\n  \
         timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  http-reuse always\n  \
         option http-no-delay\n"
    );
    for (number, (address, to)) in ways.iter().enumerate() {
        let _ = write!(
            config,
            "frontend f{number}\n  bind {address}\n  default_backend b{number}\n\
             backend b{number}\n  server s {to}\n"
        );
    }
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config)?;
    start(Command::new("haproxy").arg("-db").arg("-f").arg(&file))
}

fn squall_proxy(
    squall: &Path,
    address: SocketAddr,
    to: SocketAddr,
    faults: &Path,
) -> Result<Group> {
    let mut command = Command::new(squall);
    command.args([
        "proxy",
        "--listen",
        &address.to_string(),
        "--upstream",
        &format!("http://{to}"),
    ]);
    command.args(["--admin", "127.0.0.1:0", "--threads", &WORKERS.to_string(), "--faults"]);
    start(command.arg(faults).env("SQUALL_LOG", "error"))
}

fn latency(delay: &str) -> String {
    format!("- id: latency\n  effect: {{ latency: {{ delay: {delay} }} }}\n")
}

/// Faults that all ask for a tool that is never called.
fn other_faults() -> String {
    let fault = |number| {
        format!(
            "- id: other-{number}\n  match: {{ tool: nobody-{number} }}\n  effect: {{ drop: {{}} }}\n"
        )
    };
    (0..100).map(fault).collect()
}

/// What the origin answers to a call.
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hello"}],"isError":false}}"#;

/// What is asked of it, as wrk's script says it.
pub(super) fn script(folder: &Path) -> Result<PathBuf> {
    let file = folder.join("call.lua");
    let text = r#"
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "application/json, text/event-stream"
wrk.headers["Mcp-Session-Id"] = "3f2a9c5e7b1d4f608a2c4e6f8091b3d5"
wrk.headers["MCP-Protocol-Version"] = "2025-11-25"
wrk.body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fast-echo","arguments":{"message":"hello"}}}'
"#;
    fs::write(&file, text.to_owned() + RESULT)?;
    Ok(file)
}

/// The same for files, which are got.
pub(super) fn file_script(folder: &Path) -> Result<PathBuf> {
    let file = folder.join("get.lua");
    fs::write(&file, RESULT)?;
    Ok(file)
}

/// What wrk says at the end.
pub(super) const RESULT: &str = r#"
done = function(summary, latency, requests)
  local bad = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(95), latency:percentile(99), bad, summary.bytes))
end
"#;

/// What wrk has measured.
pub(super) struct Ran {
    pub(super) requests: f64,
    pub(super) seconds: f64,
    pub(super) p50_us: f64,
    pub(super) p95_us: f64,
    pub(super) p99_us: f64,
    pub(super) bytes: f64,
}

/// Runs wrk against a target.
pub(super) fn wrk(
    target: &Target,
    path: &str,
    script: &Path,
    connections: u32,
    seconds: u32,
) -> Result<Ran> {
    let threads = if connections == 1 { "1" } else { "2" };
    let url = format!("http://{}{path}", target.address);
    let ran = Command::new("wrk")
        .args(["-t", threads, "-c", &connections.to_string(), "-d", &format!("{seconds}s"), "-s"])
        .arg(script)
        .arg(&url)
        .output()
        .context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&ran.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    let line = line.with_context(|| format!("wrk said nothing of {}: {text}", target.name))?;
    let figures: Vec<f64> = line.split(' ').filter_map(|figure| figure.parse().ok()).collect();
    let [requests, micros, p50_us, p95_us, p99_us, bad, bytes] = figures[..] else {
        bail!("wrk said `{line}` of {}", target.name)
    };
    ensure!(bad == 0.0, "{bad} of {requests} requests to {} went wrong", target.name);
    Ok(Ran { requests, seconds: micros / 1e6, p50_us, p95_us, p99_us, bytes })
}
