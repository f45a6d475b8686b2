//! The Compose stack as people bring it up: healthy, driven through both of its doors, taken down
//! without a trace. And the image of Squall, built from source.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use squall::world::free_address;
use squall_model::mcp::header;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::SemaphorePermit;
use tokio::time::{interval, timeout};

use super::containers::{containers_of, docker, left_of, remove, seat, try_docker};
use crate::drills::house::{Called, house};
use crate::needs::{IMAGES, compose, has_docker};
use crate::support::DEADLINE;

/// How long the stack may take to get up, and to get down.
const LONGEST: Duration = Duration::from_secs(120);

const SERVICES: usize = 6;

/// What is published, as the Compose file names the ports.
const PORTS: [&str; 7] = ["SERVER_1", "SERVER_2", "SERVER_3", "REDIS", "NGINX", "PROXY", "ADMIN"];
const SERVERS: [&str; 3] = ["SERVER_1", "SERVER_2", "SERVER_3"];

/// Conversations with a heartbeat in them before somebody is blamed.
const ATTEMPTS: usize = 3;

const VERSION: &str = "2025-11-25";

/// A stack under a name of its own, on ports of its own. It is removed when this is dropped.
struct Stack {
    /// The project without its `squall-`.
    name: String,
    environment: BTreeMap<String, String>,
    _seat: SemaphorePermit<'static>,
}

/// A stack that is healthy, as soon as a seat is free.
async fn stack() -> Stack {
    let seat = seat().await;
    let name = format!("test-{}-stack", std::process::id());
    let stack = Stack { name, environment: environment(), _seat: seat };
    stack.compose(&["up", "--detach"]).await;
    stack.until_healthy().await;
    stack
}

/// Everything that somebody's `compose/.env` could say otherwise.
fn environment() -> BTreeMap<String, String> {
    let images = IMAGES.map(|(name, image)| (name.to_owned(), image.to_owned()));
    let ports = PORTS.map(|name| {
        (format!("SQUALL_{name}_PORT"), free_address().expect("a port").port().to_string())
    });
    let others = [
        ("SQUALL_ADMIN_TOKEN".to_owned(), token()),
        ("SQUALL_REDIS".to_owned(), "redis://redis:6379/".to_owned()),
        ("SQUALL_REDIS_APPENDONLY".to_owned(), "yes".to_owned()),
    ];
    images.into_iter().chain(ports).chain(others).collect()
}

fn token() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("randomness");
    format!("{:032x}", u128::from_ne_bytes(bytes))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

impl Stack {
    /// Runs the installed tool, as compose/README.md does.
    async fn compose(&self, arguments: &[&str]) {
        let (program, words) = compose().and_then(<[_]>::split_first).expect("it was found before");
        let mut command = Command::new(program);
        command
            .args(words)
            .args(["-f", "compose/docker-compose.yml", "-p", &format!("squall-{}", self.name)])
            .args(arguments)
            .envs(&self.environment)
            .current_dir(root())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(LONGEST, command.output()).await.expect("an end in time");
        let output = output.expect("the Compose tool");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }

    async fn until_healthy(&self) {
        let mut look = interval(Duration::from_millis(200));
        let healthy = async {
            while !self.is_healthy() {
                look.tick().await;
            }
        };
        let in_time = timeout(LONGEST, healthy).await;
        assert!(in_time.is_ok(), "unhealthy after {LONGEST:?}:\n{}", self.health());
    }

    fn is_healthy(&self) -> bool {
        let health = self.health();
        health.lines().count() == SERVICES && health.lines().all(|line| line.ends_with(" healthy"))
    }

    /// Each container, and what its health check says.
    fn health(&self) -> String {
        let ids = containers_of(&self.name);
        let mut inspect = vec!["inspect", "--format", "{{.Name}} {{.State.Health.Status}}"];
        inspect.extend(ids.iter().map(String::as_str));
        docker(&inspect)
    }

    fn port(&self, of: &str) -> u16 {
        self.environment[&format!("SQUALL_{of}_PORT")].parse().expect("a port")
    }

    /// How many streams each server has open.
    async fn open_streams(&self, session: &str) -> Vec<u64> {
        let mut streams = Vec::new();
        for server in SERVERS {
            let answer = call(self.port(server), session, "get-server-stats", json!({})).await;
            let stats: Value = serde_json::from_str(&answer).expect(&answer);
            streams.push(stats["open_streams"].as_u64().expect("a number"));
        }
        streams
    }

    /// What `squall fault list` says with this token.
    async fn list_faults(&self, token: &str) -> Called {
        let admin = format!("127.0.0.1:{}", self.port("ADMIN"));
        let list = ["fault", "list", "--admin", &admin, "--admin-token", token];
        house().await.call(&list).await
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

async fn send(port: u16, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("a listener");
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.expect("ready");
    tokio::spawn(connection);
    let answer = timeout(DEADLINE, sender.send_request(request)).await;
    answer.expect("an answer in time").expect("an answer")
}

fn request(method: Method, session: Option<&str>, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let accept = match method {
        Method::GET => header::EVENT_STREAM.to_owned(),
        _ => format!("{}, {}", header::JSON, header::EVENT_STREAM),
    };
    let mut request = Request::builder()
        .method(method)
        .uri("/mcp")
        .header("host", "squall.test")
        .header("accept", accept)
        .header("content-type", header::JSON);
    if let Some(session) = session {
        request = request.header(header::SESSION_ID, session);
        request = request.header(header::PROTOCOL_VERSION, VERSION);
    }
    request.body(Full::new(body.into())).expect("a request")
}

async fn post(port: u16, session: Option<&str>, message: &Value) -> Response<Incoming> {
    send(port, request(Method::POST, session, message.to_string())).await
}

async fn read(response: Response<Incoming>) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    let body = timeout(DEADLINE, response.into_body().collect()).await;
    let body = body.expect("a body in time").expect("a body").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}

/// A session that begins through this door.
async fn initialize(door: u16) -> String {
    let client = json!({ "name": "squall-test", "version": "0" });
    let params = json!({ "protocolVersion": VERSION, "capabilities": {}, "clientInfo": client });
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    let answer = post(door, None, &initialize).await;
    let session = answer.headers().get(header::SESSION_ID).expect("a session");
    let session = session.to_str().expect("text").to_owned();
    assert_eq!(read(answer).await["result"]["protocolVersion"], VERSION);
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let answer = post(door, Some(&session), &initialized).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    session
}

/// Calls a tool, and tells the text that it answers.
async fn call(door: u16, session: &str, tool: &str, arguments: Value) -> String {
    let params = json!({ "name": tool, "arguments": arguments });
    let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params });
    let answer = read(post(door, Some(session), &call).await).await;
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text in {answer}")).to_owned()
}

/// The stream of a session's events, as soon as its head is there.
async fn listen(door: u16, session: &str) -> Incoming {
    let answer = send(door, request(Method::GET, Some(session), "")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], header::EVENT_STREAM);
    answer.into_body()
}

/// Waits until this arrives on a stream that stays open, and tells all that did.
async fn hear(stream: &mut Incoming, expected: &str) -> String {
    let mut heard = String::new();
    let hears = async {
        while !heard.contains(expected) {
            let frame = stream.frame().await.expect("an open stream").expect("a frame");
            let data = frame.into_data().unwrap_or_default();
            heard.push_str(&String::from_utf8_lossy(&data));
        }
    };
    let in_time = timeout(DEADLINE, hears).await;
    assert!(in_time.is_ok(), "no {expected} in {heard:?}");
    heard
}

/// All that a client does through one door, and what another server has to tell it meanwhile: the
/// stream, which stays open, and what was heard on it.
async fn converse(stack: &Stack, door: &str) -> (Incoming, String) {
    let door = stack.port(door);
    let session = initialize(door).await;
    let echo = call(door, &session, "fast-echo", json!({ "message": "is anybody there?" })).await;
    assert!(echo.contains("is anybody there?"), "{echo}");
    let before = stack.open_streams(&session).await;
    let mut stream = listen(door, &session).await;
    let after = stack.open_streams(&session).await;
    let elsewhere = (0..SERVERS.len()).find(|server| after[*server] == before[*server]);
    let elsewhere = SERVERS[elsewhere.expect("a server without the stream")];
    assert_eq!(after.iter().sum::<u64>(), before.iter().sum::<u64>() + 1, "{before:?} {after:?}");
    let tools = json!({ "kind": "tools" });
    call(stack.port(elsewhere), &session, "trigger-notification", tools).await;
    let heard = hear(&mut stream, "notifications/tools/list_changed").await;
    (stream, heard)
}

/// Converses through a door at which nobody may hold back what a server sends. A buffer keeps even the
/// head of a stream until a heartbeat pushes it out, so that one always comes before the event; without
/// a buffer, only chance brings one between.
async fn converse_at_once(stack: &Stack, door: &str) -> Vec<Incoming> {
    let mut streams = Vec::new();
    for _ in 0..ATTEMPTS {
        let (stream, heard) = converse(stack, door).await;
        streams.push(stream);
        if !heard.contains("heartbeat") {
            return streams;
        }
    }
    panic!("{door} holds streams back until a heartbeat pushes them out");
}

#[tokio::test]
async fn the_stack_is_healthy_carries_sessions_and_events_and_goes_without_a_trace() {
    if !has_docker() {
        return;
    }
    let stack = stack().await;
    let through_nginx = converse_at_once(&stack, "NGINX").await;
    let through_proxy = converse_at_once(&stack, "PROXY").await;

    let listed = stack.list_faults(&stack.environment["SQUALL_ADMIN_TOKEN"]).await;
    assert_eq!(listed.code(), 0, "{}", listed.stderr);
    let refused = stack.list_faults("a-guess").await;
    assert_ne!(refused.code(), 0, "{}", refused.stdout);
    assert!(refused.complaint().contains("token"), "{}", refused.stderr);

    drop((through_nginx, through_proxy));
    stack.compose(&["down", "--volumes"]).await;
    assert_eq!(left_of(&stack.name), "");
}

/// A stand-in for a toolchain: it takes the one command that it knows, and makes a program that says
/// who runs it.
const CARGO: &str = r#"#!/bin/sh
set -eu
test "$*" = "build --release --locked --package squall"
test -f Cargo.lock
mkdir -p target/release
printf '#!/bin/sh\necho "built from source, run by $(id -u)"\n' > target/release/squall
chmod +x target/release/squall
"#;

/// What of a checkout in which nothing was ever built the Dockerfile itself needs.
const SOURCES: [&str; 5] =
    [".dockerignore", "Cargo.toml", "Cargo.lock", "compose/Dockerfile", "compose/no-binary"];

/// Images of a test's own, all of which carry its label; removed when the test ends.
struct Workshop {
    folder: tempfile::TempDir,
    name: String,
    _seat: SemaphorePermit<'static>,
}

/// A fresh checkout, and a base image with the stand-in, as soon as a seat is free.
async fn workshop() -> Workshop {
    let seat = seat().await;
    let folder = tempfile::tempdir().expect("a folder");
    let name = format!("squall-test-{}-source", std::process::id());
    let workshop = Workshop { folder, name, _seat: seat };
    for file in SOURCES {
        let to = workshop.path("checkout").join(file);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        std::fs::copy(root().join(file), to).expect(file);
    }
    let base = workshop.path("base");
    std::fs::create_dir_all(&base).expect("a folder");
    std::fs::write(base.join("cargo"), CARGO).expect("a file");
    let label = &workshop.name;
    let file = format!(
        "FROM squall-debian:local\nLABEL squall.test={label}\nCOPY cargo /usr/bin/\nRUN chmod +x /usr/bin/cargo\n"
    );
    std::fs::write(base.join("Dockerfile"), file).expect("a file");
    workshop.build("", "base", &["--tag", &workshop.base()]).await;
    workshop
}

impl Workshop {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn base(&self) -> String {
        format!("{}:base", self.name)
    }

    fn image(&self) -> String {
        format!("{}:built", self.name)
    }

    /// Has a builder (`0`: the one without `BuildKit`; empty: the one that is the default here) build from
    /// a folder.
    async fn build(&self, builder: &str, folder: &str, arguments: &[&str]) {
        let mut command = Command::new("docker");
        command
            .args(["build", "--network", "none"])
            .args(arguments)
            .arg(".")
            .env("DOCKER_BUILDKIT", builder)
            .current_dir(self.path(folder))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(LONGEST, command.output()).await.expect("an end in time");
        let output = output.expect("the command line of Docker");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    }

    /// Has it build a stage of Squall's Dockerfile, and runs that.
    async fn run(&self, builder: &str, stage: &str) -> (bool, String) {
        let (base, image) = (self.base(), self.image());
        let (runtime, toolchain) = (format!("BASE={base}"), format!("BUILD_BASE={base}"));
        let bases = ["--build-arg", &runtime, "--build-arg", &toolchain];
        let stage = ["--file", "compose/Dockerfile", "--target", stage, "--tag", &image];
        self.build(builder, "checkout", &[&bases[..], &stage[..]].concat()).await;
        try_docker(&["run", "--rm", "--network", "none", &image])
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        try_docker(&["image", "rm", "--force", &self.image(), &self.base()]);
        let label = format!("label=squall.test={}", self.name);
        try_docker(&["image", "prune", "--force", "--filter", &label]);
    }
}

#[tokio::test]
async fn the_image_is_built_from_source_by_either_builder_where_no_binary_is() {
    if !has_docker() {
        return;
    }
    let workshop = workshop().await;
    for builder in ["0", ""] {
        let (succeeds, said) = workshop.run(builder, "source").await;
        assert!(succeeds, "{said}");
        assert_eq!(said.trim(), "built from source, run by 65534");
    }
}

#[tokio::test]
async fn an_image_that_was_given_no_binary_says_so() {
    if !has_docker() {
        return;
    }
    let workshop = workshop().await;
    let (succeeds, said) = workshop.run("", "binary").await;
    assert!(!succeeds && said.contains("--build-arg BINARY="), "{said}");
}
