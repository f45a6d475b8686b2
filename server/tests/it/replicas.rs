//! Three replicas, each a process of its own, and a Redis: whichever is killed, the session goes on.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use squall_model::mcp::header::LAST_EVENT_ID;
use squall_server::{Config, run};
use tokio::net::TcpListener;

use crate::world::*;

const REDIS: &str = "SQUALL_TEST_REPLICA_OF";
const LISTENING: &str = "replica on ";

/// What such a process does; in the tests themselves, nothing.
#[tokio::test(flavor = "multi_thread")]
async fn serves_if_asked() {
    let Ok(url) = env::var(REDIS) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{LISTENING}{}", listener.local_addr().expect("bound"));
    let config = Config { redis: Some(url.parse().expect("a URL")), ..Config::default() };
    run(listener, config, std::future::pending()).await.expect("it serves until it is killed");
}

/// A process of its own, killed at the latest with the test.
struct Replica {
    process: Child,
    server: TestServer,
}

impl Replica {
    async fn start(redis: &str) -> Self {
        let mut command = Command::new(env::current_exe().expect("this binary"));
        command.args(["--exact", "replicas::serves_if_asked", "--nocapture"]).env(REDIS, redis);
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this binary runs");
        let output = process.stdout.take().expect("a pipe");
        let address = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(output).lines().map_while(Result::ok);
            let found = lines.find_map(|line| {
                let (_, address) = line.split_once(LISTENING)?;
                address.trim().parse().ok()
            });
            std::thread::spawn(move || lines.for_each(drop)); // a full pipe would hold it up
            found
        });
        let address = soon(address).await.expect("no panic").expect("it listens");
        let server = TestServer::at(address);
        server.is_ready().await;
        Self { process, server }
    }

    fn kill(&mut self) {
        self.process.kill().expect("running");
        self.process.wait().expect("a child");
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may be dead
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_session_goes_on_through_a_kill_of_each_of_three_replicas() {
    let Some(redis) = redis().await else { return };
    let url = redis.url();
    let start = || Replica::start(&url);
    let (mut made_on, mut used_on, mut streams_on) = (start().await, start().await, start().await);
    let id = made_on.server.session("2025-11-25").await;
    used_on.server.ping(&id).await.result();
    let mut stream = streams_on.server.stream(&id).await;
    let send = async |replica: &Replica, number: u32| {
        let arguments = json!({ "kind": "custom", "data": { "number": number } });
        replica.server.tool(&id, "trigger-notification", &arguments).await;
    };
    let mut last = String::new();
    let mut hear = async |stream: &mut Opened, number: u32| {
        let (event, message) = stream.next_with_id().await.expect("a notification");
        assert_eq!(message["params"]["data"]["number"], number);
        last = event;
    };

    made_on.kill();
    send(&used_on, 1).await;
    hear(&mut stream, 1).await;

    made_on = start().await;
    used_on.kill();
    send(&made_on, 2).await;
    hear(&mut stream, 2).await;

    used_on = start().await;
    streams_on.kill();
    stream.is_cut().await;
    send(&made_on, 3).await;
    let again = used_on.server.ask_for_stream(&id).header(LAST_EVENT_ID, &last);
    let mut stream = again.open().await;
    send(&used_on, 4).await;
    for number in [3, 4] {
        let message = stream.next_message().await.expect("a notification");
        assert_eq!(message["params"]["data"]["number"], number);
    }
}
