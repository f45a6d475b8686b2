//! `cargo xtask bench server`: what the test server takes and costs, next to nginx's fixed answer to the same
//! requests.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Barrier, Semaphore};
use tokio::time::{Instant, timeout};

use super::figures::{Figures, quantile};
use super::stand::{self, REFERENCE, Ran, SQUALL, Target};
use super::{Arguments, cpu};
use crate::binary;
use crate::group::Group;

/// Sessions that calls take turns with.
const SESSIONS: usize = 1000;
/// Sessions, each with an open stream: this process and the server have 20,000 files each at most.
const STREAMS: usize = 9500;
/// Sessions without a stream.
const IDLE: usize = 50_000;
const SETTLING: Duration = Duration::from_secs(1);
const WITH_REDIS: &str = "squall, sessions in Redis";
const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"fast-echo","arguments":{"message":"hello"}}}"#;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
const CHANGED: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"trigger-notification","arguments":{"kind":"tools"}}}"#;

/// Where it is measured, until this is dropped.
struct Place {
    targets: Vec<(Target, PathBuf)>,
    squall: PathBuf,
    folder: PathBuf,
    _processes: Vec<Group>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Vec<Figures>> {
    raise_limit()?;
    let place = Place::set_up(arguments.binary.as_deref())?;
    let mut figures = rate(&place, arguments.rounds, arguments.seconds)?;
    figures.extend(streams(&place.squall, arguments.rounds.min(3))?);
    Ok(figures)
}

fn raise_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("cannot raise the limit of open files")
}

impl Place {
    fn set_up(squall: Option<&Path>) -> Result<Self> {
        for program in ["wrk", "nginx", "redis-server"] {
            stand::needs(program)?;
        }
        let squall = match squall {
            Some(path) => path.to_owned(),
            None => binary::release()?,
        };
        let folder = std::env::temp_dir().join(format!("squall-bench-{}", std::process::id()));
        fs::create_dir_all(folder.join("files")).context("cannot make a folder")?;
        let (fixed, memory, redis, shared) =
            (stand::free()?, stand::free()?, stand::free()?, stand::free()?);
        let origin = stand::nginx(&folder, "origin", &stand::origin_config(&folder, fixed))?;
        let port = redis.port().to_string();
        let store = stand::start(
            Command::new("redis-server")
                .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
                .current_dir(&folder),
        )?;
        stand::until_it_listens("redis-server", redis)?;
        let alone = server(&squall, memory, None)?;
        let with_redis = server(&squall, shared, Some(&format!("redis://{redis}")))?;
        let all = [
            (REFERENCE, fixed, &origin),
            (SQUALL, memory, &alone),
            (WITH_REDIS, shared, &with_redis),
        ];
        for (name, address, _) in all {
            stand::until_it_listens(name, address)?;
        }
        let mut targets = Vec::new();
        for (name, address, group) in all {
            let file = folder.join(format!("call-{}.lua", targets.len()));
            let of = if name == REFERENCE { memory } else { address };
            fs::write(&file, script(&sessions(of, SESSIONS)?))?;
            let target = Target { name, address, events: address, pid: Some(group.id()) };
            targets.push((target, file));
        }
        let processes = vec![origin, store, alone, with_redis];
        Ok(Self { targets, squall, folder, _processes: processes })
    }
}

fn server(squall: &Path, address: SocketAddr, redis: Option<&str>) -> Result<Group> {
    let mut command = Command::new(squall);
    command.args(["server", "--listen", &address.to_string()]).env("SQUALL_LOG", "error");
    if let Some(url) = redis {
        command.args(["--redis", url]);
    }
    stand::start(&mut command)
}

/// Calls on 32 connections, each for another session.
fn rate(place: &Place, rounds: u32, seconds: u32) -> Result<Vec<Figures>> {
    let mut rate =
        Figures::new("fast-echo, 1,000 sessions, 32 connections", "requests/s", REFERENCE);
    let mut cpu = Figures::new("CPU of the server", "µs a request", REFERENCE);
    let mut p95 = Figures::new("fast-echo, p95", "µs", SQUALL);
    for round in 0..rounds {
        let count = place.targets.len();
        for step in 0..count {
            let (target, script) = &place.targets[(step + round as usize) % count];
            let before = target.pid.map(cpu::micros).transpose()?.unwrap_or_default();
            let Ran { requests, seconds: took, p95_us, .. } =
                stand::wrk(target, "/mcp", script, 32, seconds)?;
            rate.add(target.name, requests / took);
            p95.add(target.name, p95_us);
            if let Some(pid) = target.pid {
                cpu.add(target.name, (cpu::micros(pid)? - before) / requests);
            }
        }
    }
    Ok(vec![rate, cpu, p95])
}

fn script(sessions: &[String]) -> String {
    let mut text = String::from("local requests = {}\nlocal headers = {\n");
    text += "  [\"Content-Type\"] = \"application/json\",\n";
    text += "  [\"Accept\"] = \"application/json, text/event-stream\",\n";
    text += "  [\"MCP-Protocol-Version\"] = \"2025-11-25\",\n}\nlocal sessions = {\n";
    for session in sessions {
        let _ = writeln!(text, "  \"{session}\",");
    }
    let _ = write!(
        text,
        "}}\nlocal next = 0\nfunction init()\n  for place, session in ipairs(sessions) do\n    \
         headers[\"Mcp-Session-Id\"] = session\n    \
         requests[place] = wrk.format(\"POST\", \"/mcp\", headers, '{CALL}')\n  end\nend\n\
         function request()\n  next = next % #requests + 1\n  return requests[next]\nend\n"
    );
    text + stand::RESULT
}

/// Memory of sessions and streams, and how long a notification takes to reach all of them.
fn streams(squall: &Path, rounds: u32) -> Result<Vec<Figures>> {
    let name = SQUALL;
    let mut idle = Figures::new("memory of a session without a stream", "bytes", SQUALL);
    let mut open = Figures::new("memory with 9,500 sessions and their streams", "MB", SQUALL);
    let mut p50 = Figures::new("list_changed to 9,500 streams, p50", "ms", SQUALL);
    let mut p99 = Figures::new("list_changed to 9,500 streams, p99", "ms", SQUALL);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for _ in 0..rounds {
        let address = stand::free()?;
        let group = server(squall, address, None)?;
        stand::until_it_listens(name, address)?;
        let before = resident(group.id())?;
        sessions(address, IDLE)?;
        idle.add(name, (resident(group.id())? - before) / IDLE as f64);
        drop(group);

        let address = stand::free()?;
        let group = server(squall, address, None)?;
        stand::until_it_listens(name, address)?;
        let ids = sessions(address, STREAMS)?;
        let (memory, took) = runtime.block_on(notify_all(address, group.id(), ids))?;
        open.add(name, memory / 1e6);
        p50.add(name, quantile(&took, 0.5));
        p99.add(name, quantile(&took, 0.99));
    }
    Ok(vec![idle, open, p50, p99])
}

/// Opens all streams, and says what memory the server then has, and after how many milliseconds each heard
/// of a change.
async fn notify_all(address: SocketAddr, pid: u32, ids: Vec<String>) -> Result<(f64, Vec<f64>)> {
    let count = ids.len();
    let caller = ids.first().context("no session")?.clone();
    let (places, ready) = (Arc::new(Semaphore::new(200)), Arc::new(Barrier::new(count + 1)));
    let mut hearing = Vec::with_capacity(count);
    for id in ids {
        hearing.push(tokio::spawn(hear(address, id, Arc::clone(&places), Arc::clone(&ready))));
    }
    ready.wait().await;
    // So that all of them wait for the server, and none for this process.
    tokio::time::sleep(SETTLING).await;
    let memory = resident(pid)?;
    let begun = Instant::now();
    let called = tokio::task::spawn_blocking(move || {
        let mut connection = Connection::open(address)?;
        connection.post(CHANGED, Some(&caller)).map(drop)
    });
    // A stream that has heard stays open until all have: to end it would take the server's time.
    let mut open = Vec::with_capacity(count);
    for stream in hearing {
        open.push(timeout(Duration::from_secs(30), stream).await???);
    }
    called.await??;
    let took = open.iter().map(|(heard, _)| (*heard - begun).as_secs_f64() * 1e3).collect();
    Ok((memory, took))
}

async fn hear(
    address: SocketAddr,
    id: String,
    places: Arc<Semaphore>,
    ready: Arc<Barrier>,
) -> Result<(Instant, tokio::net::TcpStream)> {
    let place = places.acquire().await?;
    let mut socket = tokio::net::TcpStream::connect(address).await?;
    let head = format!(
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nMcp-Session-Id: {id}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    let mut text = Vec::new();
    // The head, and the event that the stream begins with.
    while !text.ends_with(b"data:\n\n\r\n") {
        ensure!(socket.read_buf(&mut text).await? > 0, "the stream ended at once");
    }
    drop(place);
    ready.wait().await;
    text.clear();
    while !text.windows(12).any(|word| word == b"list_changed") {
        ensure!(socket.read_buf(&mut text).await? > 0, "the stream ended");
    }
    Ok((Instant::now(), socket))
}

/// Begins so many sessions over one connection.
fn sessions(address: SocketAddr, count: usize) -> Result<Vec<String>> {
    let mut connection = Connection::open(address)?;
    (0..count)
        .map(|_| {
            let head = connection.post(INITIALIZE, None)?;
            let session = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: "));
            session.map(|id| id.trim().to_owned()).with_context(|| format!("no session: {head}"))
        })
        .collect()
}

/// HTTP/1.1, as little of it as this needs.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(BufReader::new(socket)))
    }

    /// Sends a message, reads its whole answer, and gives the head in small letters.
    fn post(&mut self, body: &str, session: Option<&str>) -> Result<String> {
        let session = session.map_or_else(String::new, |id| format!("Mcp-Session-Id: {id}\r\n"));
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\n{session}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                bail!("the server ended the connection: {head}");
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("an answer without a length")?.trim().parse()?;
        self.0.read_exact(&mut vec![0; length])?;
        Ok(head)
    }
}

/// Resident memory of a process and its children, in bytes.
fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the server ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024.0)
}
