//! The command line: every help page, and commands that need no drill.

use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::time::timeout;

use crate::drills::house::{Called, House, house};
use crate::support::DEADLINE;

#[tokio::test]
async fn the_admin_apis_document_is_the_one_that_is_committed() {
    let printed = house().await.call(&["schema", "admin"]).await.stdout;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let committed = std::fs::read_to_string(path).expect("docs/openapi.json");
    assert!(printed == committed, "run `cargo xtask docs`");
}

#[tokio::test]
async fn every_help_page_is_as_it_was() {
    let house = house().await;
    for command in [
        "",
        "drill",
        "drill run",
        "drill plan",
        "drill check",
        "drill list",
        "heal",
        "proxy",
        "fault",
        "fault add",
        "fault list",
        "fault rm",
        "fault clear",
        "fault set",
        "route",
        "sessions",
        "upstream",
        "schema",
        "completions",
        "server",
        "load",
        "load run",
    ] {
        let arguments = command.split_ascii_whitespace().chain(["--help"]);
        let output = house.squall(arguments).env("COLUMNS", "100").output().await;
        let output = output.expect("an answer");
        assert!(output.status.success(), "{command}");
        let name = format!("help {command}").trim().replace(' ', "-");
        assert_snapshot!(name, String::from_utf8(output.stdout).expect("text"));
    }
}

/// A port of the loopback interface that somebody listens on.
async fn taken() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

/// A port that nobody listens on.
async fn dead() -> String {
    taken().await.1
}

fn complains(called: &Called, code: i32, says: &[&str]) {
    assert_eq!(called.code(), code, "{}", called.stderr);
    let complaint = called.complaint();
    assert_eq!(called.stderr.lines().count(), 1, "{}", called.stderr);
    for says in says {
        assert_eq!(complaint.matches(says).count(), 1, "{says}: {complaint}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_by_the_server_and_the_proxy() {
    let house = house().await;
    let (_taken, address) = taken().await;
    let upstream = "http://127.0.0.1:9";
    let in_use = [&*address, "os error 98"];
    complains(&house.call(&["server", "--listen", &address]).await, 3, &in_use);
    let proxy = ["proxy", "--upstream", upstream, "--admin", "127.0.0.1:0", "--listen", &address];
    complains(&house.call(&proxy).await, 3, &in_use);
    let proxy = ["proxy", "--upstream", upstream, "--listen", "127.0.0.1:0", "--admin", &address];
    complains(&house.call(&proxy).await, 3, &in_use);
}

#[tokio::test]
async fn a_redis_url_that_cannot_be_used_is_refused_without_its_password() {
    let house = house().await;
    for (url, says) in [("rediss://:secret@redis", "TLS"), ("redis://:secret@redis:x", "wrong")] {
        let called = house.call(&["server", "--listen", "127.0.0.1:0", "--redis", url]).await;
        complains(&called, 2, &["redis://[USER:PASSWORD@]HOST", says]);
        assert!(!called.stderr.contains("secret"), "{}", called.stderr);
    }
}

#[tokio::test]
async fn an_upstream_that_is_down_is_named_by_the_load() {
    let house = house().await;
    let address = dead().await;
    let called = house.call(&["load", "run", &format!("http://{address}/mcp")]).await;
    complains(&called, 3, &[&address, "0 of 10 sessions", "connection refused"]);
}

#[tokio::test]
async fn runbooks_of_a_folder_are_checked_and_listed() {
    let house = house().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runbooks");
    let folder = folder.to_str().expect("text");
    let listed = house.call(&["drill", "list", folder]).await;
    assert_eq!(listed.code(), 0, "{}", listed.stderr);
    let mut files = Vec::new();
    for line in listed.stdout.lines() {
        let (file, title) = line.split_once(' ').expect("a file and its title");
        assert!(!title.trim().is_empty() && !title.contains('!'), "{line}");
        files.push(file);
    }
    assert!(files.iter().any(|file| file.ends_with("server-restart.md")), "{}", listed.stdout);
    let mut check = vec!["drill", "check"];
    check.extend(files);
    let checked = house.call(&check).await;
    assert_eq!(checked.code(), 0, "{}", checked.stderr);
    assert!(checked.stdout.contains("server-restart.md: ok: "), "{}", checked.stdout);
}

#[tokio::test]
async fn a_folder_that_is_missing_is_unusable() {
    let house = house().await;
    complains(&house.call(&["drill", "list", "nowhere"]).await, 2, &["nowhere", "os error 2"]);
}

/// A proxy of its own, with a token.
struct Proxy {
    child: Child,
    admin: String,
    house: House,
}

const TOKEN: &str = "a-token-that-nobody-guesses";

impl Proxy {
    async fn start() -> Self {
        let house = house().await;
        let arguments =
            "proxy --listen 127.0.0.1:0 --admin 127.0.0.1:0 --upstream http://127.0.0.1:9";
        let mut command = house.squall(arguments.split(' '));
        let mut child = command.env("SQUALL_ADMIN_TOKEN", TOKEN).spawn().expect("a proxy");
        let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        let said = async {
            loop {
                let line = lines.next_line().await.expect("text").expect("an address");
                if let Some(address) = line.strip_prefix("admin API listening on http://") {
                    return address.to_owned();
                }
            }
        };
        let admin = timeout(DEADLINE, said).await.expect("news in time");
        // Whoever reads no more must not end the proxy.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, admin, house }
    }

    async fn fault(&self, arguments: &str) -> Called {
        self.fault_with(arguments, TOKEN).await
    }

    async fn fault_with(&self, arguments: &str, token: &str) -> Called {
        let whole = format!("fault {arguments} --admin {} --admin-token {token}", self.admin);
        let arguments: Vec<_> = whole.split(' ').collect();
        self.house.call(&arguments).await
    }

    async fn json(&self, arguments: &str) -> Vec<Value> {
        let called = self.fault(&format!("{arguments} --json")).await;
        assert_eq!(called.code(), 0, "{}", called.stderr);
        serde_json::from_str(&called.stdout).expect("JSON")
    }

    async fn end(mut self) {
        self.child.kill().await.expect("ended");
    }
}

#[tokio::test]
async fn faults_are_added_listed_removed_and_cleared_by_hand() {
    let proxy = Proxy::start().await;
    let none = proxy.fault("list").await;
    assert_eq!((none.code(), none.stdout.as_str()), (0, "no faults\n"));
    let first = proxy
        .fault("add latency delay=200ms --id slow --match tool=fast-* --probability 0.1")
        .await;
    assert_eq!(first.code(), 0, "{}", first.stderr);
    for _ in 0..2 {
        assert_eq!(proxy.fault("add http-status status=503 --max-hits 3").await.code(), 0);
    }
    assert_snapshot!("fault-list", proxy.fault("list").await.stdout);
    let listed = proxy.json("list").await;
    let ids: Vec<_> = listed.iter().map(|fault| fault["id"].to_string()).collect();
    assert_eq!(ids, [r#""slow""#, r#""http-status-1""#, r#""http-status-2""#]);
    let removed = proxy.json("rm slow http-status-2").await;
    assert_eq!(removed.len(), 2);
    assert_eq!(proxy.json("list").await.len(), 1);
    assert_eq!(proxy.json("clear").await.len(), 1);
    assert_eq!(proxy.json("list").await, Vec::<Value>::new());
    proxy.end().await;
}

#[tokio::test]
async fn a_lease_is_shown_as_the_time_that_is_left() {
    let proxy = Proxy::start().await;
    let added = proxy.fault("add drop --lease 1h").await;
    let left = ["1h", "59m"].iter().any(|left| added.stdout.contains(left));
    assert!(left, "{}", added.stdout);
    proxy.end().await;
}

#[tokio::test]
async fn a_fault_that_makes_no_sense_is_refused_in_one_line() {
    let proxy = Proxy::start().await;
    complains(
        &proxy.fault("add latecy delay=1s").await,
        2,
        &["unknown effect `latecy`", "did you mean `latency`?"],
    );
    complains(&proxy.fault("add latency dely=1s").await, 2, &["`dely`"]);
    complains(&proxy.fault("add latency delay=1s --probability 2").await, 2, &["2"]);
    complains(&proxy.fault("rm nobody").await, 2, &["nobody"]);
    assert_eq!(proxy.fault("add drop --id twice").await.code(), 0);
    complains(&proxy.fault("add drop --id twice").await, 2, &["twice"]);
    proxy.end().await;
}

#[tokio::test]
async fn without_the_right_token_nothing_is_told() {
    let proxy = Proxy::start().await;
    let called = proxy.fault_with("list", "guessed").await;
    complains(&called, 2, &["a token is needed"]);
    assert_eq!(called.stdout, "");
    proxy.end().await;
}

#[tokio::test]
async fn where_no_proxy_answers_the_address_is_named() {
    let house = house().await;
    let address = dead().await;
    for command in ["list", "clear", "add drop", "rm one"] {
        let whole = format!("fault {command} --admin {address}");
        let arguments: Vec<_> = whole.split(' ').collect();
        complains(&house.call(&arguments).await, 3, &["no proxy answers", "os error 111"]);
    }
}
