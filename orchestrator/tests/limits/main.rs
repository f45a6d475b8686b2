//! How much the proxy can take: client, proxy and upstream as processes of their own. These tests are
//! heavy, and have a binary of their own so that no drill is measured beside them.

mod bodies;
mod streams;

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long anything may take before a test fails.
const DEADLINE: Duration = Duration::from_secs(300);

/// `squall`, running until this is dropped.
struct Squall {
    child: Child,
    /// `HOST:PORT` of each listener that it has told of, in order.
    addresses: Vec<String>,
}

impl Squall {
    /// Starts it, and waits until it has told of so many listeners.
    async fn start(arguments: &[&str], listeners: usize) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(arguments).env("SQUALL_LOG", "warn");
        let mut child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("squall");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut addresses = Vec::new();
        while addresses.len() < listeners {
            let line = timeout(DEADLINE, lines.next_line()).await.expect("in time");
            let line = line.expect("text").expect("it runs");
            let told = line.split_once("http://").map(|(_, address)| address.trim());
            addresses.extend(told.map(|told| told.trim_end_matches("/mcp").to_owned()));
        }
        // What it says later is read, so that it never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, addresses }
    }

    /// The most memory that it ever had, in bytes.
    fn peak_memory(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).expect("a figure");
        kib.parse::<u64>().expect("a figure") * 1024
    }
}

/// A proxy in front of one upstream: its address, and its admin API's.
async fn proxy(upstream: &str, more: &[&str]) -> Squall {
    let upstream = format!("http://{upstream}");
    let arguments = ["proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream"];
    Squall::start(&[&arguments[..], &[&upstream], more].concat(), 2).await
}
