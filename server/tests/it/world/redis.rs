//! A Redis of a test's own: a real `redis-server` that can be killed, frozen and started again.

use std::env;
use std::io::{self, ErrorKind};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, FromRedisValue};
use rustix::process::{Pid, Signal, kill_process};
use squall_server::Config;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};

use super::{TestServer, server_with, soon};

/// Ports that are tried, should somebody else take one before Redis does.
const ATTEMPTS: usize = 5;

pub(crate) struct Redis {
    process: Child,
    port: u16,
    folder: TempDir,
}

/// Starts a Redis. `None`, and a word about it, where there is none to start.
pub(crate) async fn redis() -> Option<Redis> {
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..ATTEMPTS {
        let port = free_port().await;
        match spawn(port, &folder) {
            Ok(mut process) => {
                if soon(answers(port, &mut process)).await {
                    return Some(Redis { process, port, folder });
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return skipped(),
            Err(error) => panic!("redis-server does not start: {error}"),
        }
    }
    panic!("redis-server found no free port")
}

fn skipped() -> Option<Redis> {
    let required = env::var("SQUALL_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|part| part.trim() == "redis");
    assert!(!is_required, "redis-server is not installed, and SQUALL_REQUIRE names redis");
    eprintln!("SKIPPED: redis-server is not installed");
    None
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("bound").port()
}

fn spawn(port: u16, folder: &TempDir) -> io::Result<Child> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no"]).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Waits until it answers; false if it ends instead.
async fn answers(port: u16, process: &mut Child) -> bool {
    while process.try_wait().expect("a child").is_none() {
        if ask::<String>(port, &["PING"]).await.is_ok() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

async fn ask<T: FromRedisValue>(port: u16, words: &[&str]) -> redis::RedisResult<T> {
    let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let (name, arguments) = words.split_first().expect("a command");
    redis::cmd(name).arg(arguments).query_async(&mut connection).await
}

impl Redis {
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A server that keeps its sessions here. Redis has a minute to answer, so that only a test that
    /// asks for less meets the deadline.
    pub(crate) async fn server(&self) -> TestServer {
        self.server_with(|_| {}).await
    }

    pub(crate) async fn server_with(&self, change: impl FnOnce(&mut Config)) -> TestServer {
        let redis = format!("redis://127.0.0.1:{}", self.port).parse().expect("a URL");
        let config = |config: &mut Config| {
            config.redis = Some(redis);
            config.redis_deadline = Duration::from_secs(60);
            config.session_cache = Duration::ZERO;
            change(config);
        };
        server_with(config).await
    }

    /// A server that is this user of Redis, who may do everything until told otherwise.
    pub(crate) async fn server_of(&self, user: &str) -> TestServer {
        let all = ["on", "nopass", "~*", "&*", "+@all"];
        self.run::<()>(&[&["ACL", "SETUSER", user], &all[..]].concat()).await;
        let url = format!("redis://{user}:any@127.0.0.1:{}", self.port);
        self.server_with(|config| config.redis = Some(url.parse().expect("a URL"))).await
    }

    /// Has Redis carry out a command.
    pub(crate) async fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        ask(self.port, words).await.expect("Redis takes it")
    }

    /// Everything that Redis is asked from now on, a line each.
    pub(crate) async fn monitor(&self) -> Lines<BufReader<TcpStream>> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).await.expect("listening");
        socket.write_all(b"MONITOR\r\n").await.expect("sent");
        let mut lines = BufReader::new(socket).lines();
        assert_eq!(lines.next_line().await.expect("a line").as_deref(), Some("+OK"));
        lines
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("running");
        self.process.wait().expect("a child");
    }

    /// Starts it again on its old port, with nothing in it.
    pub(crate) async fn start_again(&mut self) {
        self.process = spawn(self.port, &self.folder).expect("it started before");
        assert!(soon(answers(self.port, &mut self.process)).await, "its port was taken");
    }

    /// Stops the process: its port takes connections, and nobody answers.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("running");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may be dead already
        let _ = self.process.wait();
    }
}
