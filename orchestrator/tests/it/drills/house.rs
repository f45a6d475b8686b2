//! A house for drills: state, runbooks and reports of their own, and the binary that runs them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use squall::shim::tree;
use squall_model::history::{Event, Injection, Operation, Record};
use squall_model::operation::OperationId;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::needs::IMAGES;
use crate::support::SQUALL;

/// How long a whole drill may take before a test fails.
const LONGEST: Duration = Duration::from_secs(120);

/// Drills at a time: more would only disturb each other's measurements.
static SEATS: Semaphore = Semaphore::const_new(4);

/// Three replicas of the test server, one of which is killed and started again. What is steady is
/// drawn wide: machines that run tests are busy.
pub(crate) const RESTART: &str = r#"
name: small
world:
  process:
    command: [squall, server, --listen, "127.0.0.1:{port}", --id, "{id}"]
    replicas: 3
load: { sessions: 30, rate: 60, mix: "fast-echo", timeout: 30s }
phases:
  baseline: { lasts: 2s }
  impact:
    steps:
      - kill: { replicas: one }
      - wait: 500ms
      - start: { within: 30s }
  recovery: { lasts: 6s }
expect: { sessions: reinitialise }
steady: { window: 2s, hold: 2s, success_drop: 0.6, p95_slack: 30s, baseline_success: 0.5 }
"#;

/// Three replicas, and a fault on the wire for a second.
pub(crate) const FAULT: &str = r#"
name: small
world:
  process:
    command: [squall, server, --listen, "127.0.0.1:{port}", --id, "{id}"]
    replicas: 3
load: { sessions: 30, rate: 60, mix: "fast-echo", timeout: 30s }
phases:
  baseline: { lasts: 2s }
  impact:
    steps:
      - inject:
          id: flaky
          match: { method: tools/call }
          effect: { http-status: { status: 503 } }
      - wait: 1s
  recovery: { lasts: 5s }
steady: { window: 2s, hold: 2s, success_drop: 0.6, p95_slack: 30s, baseline_success: 0.5 }
"#;

/// Steps, a line each, as the list of a drill has them.
pub(crate) fn as_list(steps: &str) -> String {
    let steps: Vec<String> = steps.lines().map(|step| format!("      - {step}\n")).collect();
    steps.concat()
}

/// A folder with the state, the runbooks and the reports of one test.
pub(crate) struct House {
    folder: tempfile::TempDir,
    runs: AtomicU32,
    _seat: SemaphorePermit<'static>,
}

/// A house, as soon as a seat is free.
pub(crate) async fn house() -> House {
    let seat = SEATS.acquire().await.expect("never closed");
    let folder = tempfile::tempdir().expect("a folder");
    House { folder, runs: AtomicU32::new(0), _seat: seat }
}

impl House {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A runbook of this drill. Each call makes another file.
    pub(crate) fn runbook(&self, drill: &str) -> PathBuf {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let path = self.path(&format!("runbook-{number}.md"));
        let text = format!("# A small drill\n\n```yaml drill{drill}```\n");
        std::fs::write(&path, text).expect("a runbook");
        path
    }

    /// The binary with the state of this house, and with images of the tests' for its stacks.
    pub(crate) fn squall<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(SQUALL);
        command
            .args(arguments)
            .env("SQUALL_STATE_DIR", self.path("state"))
            .env("RUST_BACKTRACE", "0")
            .env_remove("SQUALL_LOG")
            .envs(IMAGES)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a command of the binary to its end.
    pub(crate) async fn call(&self, arguments: &[&str]) -> Called {
        let output = timeout(LONGEST, self.squall(arguments).output()).await;
        let output = output.expect("an end in time").expect("an answer");
        Called {
            status: output.status,
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Starts a drill.
    pub(crate) fn start(&self, drill: &str, arguments: &[&str]) -> Running {
        self.start_file(&self.runbook(drill), arguments)
    }

    /// Starts the drill of a runbook.
    pub(crate) fn start_file(&self, runbook: &Path, arguments: &[&str]) -> Running {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let out = self.path(&format!("out-{number}"));
        let mut command = self.squall(["drill", "run"]);
        command.arg(runbook).arg("--out").arg(&out).args(arguments);
        // Where it is started says nothing of where its servers keep sessions.
        command.env("SQUALL_REDIS", "redis://127.0.0.1:1/");
        let mut child = command.spawn().expect("a drill");
        let news = child.stderr.take().expect("its stderr");
        Running { child, news: BufReader::new(news), heard: String::new(), out }
    }

    /// Runs a drill to its end.
    pub(crate) async fn run(&self, drill: &str, arguments: &[&str]) -> Ended {
        self.start(drill, arguments).end().await
    }

    /// Starts a drill, waits for a line of its news, and ends it with SIGKILL. Says which run it was.
    pub(crate) async fn killed_at(&self, drill: &str, news: &str) -> String {
        let mut running = self.start(drill, &[]);
        running.until(news).await;
        let run = running.run();
        running.child.kill().await.expect("killed");
        run
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Called {
    pub(crate) fn code(&self) -> i32 {
        self.status.code().expect("an exit code")
    }

    /// Its complaint, which is one line of `stderr` and the last one.
    pub(crate) fn complaint(&self) -> &str {
        complaint(&self.stderr)
    }
}

fn complaint(stderr: &str) -> &str {
    let mut lines = stderr.lines().filter(|line| line.starts_with("squall: "));
    let line = lines.next().unwrap_or_else(|| panic!("no complaint in: {stderr}"));
    assert_eq!(lines.next(), None, "one line, please: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    line
}

/// A drill that is under way.
pub(crate) struct Running {
    pub(crate) child: Child,
    news: BufReader<tokio::process::ChildStderr>,
    heard: String,
    out: PathBuf,
}

impl Running {
    /// Reads its news up to a line that contains this.
    pub(crate) async fn until(&mut self, expected: &str) {
        let heard = async {
            loop {
                let from = self.heard.len();
                let read = self.news.read_line(&mut self.heard).await.expect("text");
                assert!(read > 0, "it ended before `{expected}`: {}", self.heard);
                if self.heard[from..].contains(expected) {
                    return;
                }
            }
        };
        timeout(LONGEST, heard).await.expect("news in time");
    }

    /// Its run's id, once it has told that.
    pub(crate) fn run(&self) -> String {
        let told = self.heard.lines().find_map(|line| line.strip_prefix("run "));
        let told = told.unwrap_or_else(|| panic!("no run in: {}", self.heard));
        told.split(',').next().expect("an id").to_owned()
    }

    /// Waits until the proxy has recorded that a fault acted.
    pub(crate) async fn until_injected(&self) {
        self.until_says("proxy.jsonl", "injection").await;
    }

    /// Waits until the drill has recorded something.
    pub(crate) async fn until_recorded(&self, what: &str) {
        self.until_says("history.jsonl", what).await;
    }

    async fn until_says(&self, file: &str, what: &str) {
        let history = self.out.join(file);
        let mut look = tokio::time::interval(Duration::from_millis(20));
        let said = async {
            while !std::fs::read_to_string(&history).is_ok_and(|text| text.contains(what)) {
                look.tick().await;
            }
        };
        timeout(LONGEST, said).await.unwrap_or_else(|_| panic!("no {what} in {file} in time"));
    }

    /// The folder of its files.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    /// Sends it SIGINT, SIGTERM …
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("sent");
    }

    /// Waits for its end. Whatever it was, nothing of the run may be left.
    pub(crate) async fn end(mut self) -> Ended {
        let mut stdout = self.child.stdout.take().expect("its stdout");
        let mut said = String::new();
        let ends = async {
            let rest = self.news.read_to_string(&mut self.heard);
            let (read, rest) = tokio::join!(stdout.read_to_string(&mut said), rest);
            read.and(rest).expect("text");
            self.child.wait().await.expect("a status")
        };
        let status = timeout(LONGEST, ends).await.expect("an end in time");
        if self.heard.lines().any(|line| line.starts_with("run ")) {
            assert_nothing_left(&self.run());
        }
        let code = status.code().unwrap_or_else(|| panic!("{status}: {}", self.heard));
        Ended { code, stdout: said, stderr: self.heard, out: self.out }
    }
}

/// No process has this run in its environment.
pub(crate) fn assert_nothing_left(run: &str) {
    assert_eq!(tree::strays(run, None), []);
}

/// A drill that has ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) out: PathBuf,
}

impl Ended {
    /// Checks the exit code; shows everything if it is another.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stderr, self.stdout);
        self
    }

    pub(crate) fn complaint(&self) -> &str {
        complaint(&self.stderr)
    }

    pub(crate) fn report(&self) -> Value {
        let text = std::fs::read_to_string(self.out.join("report.json"));
        let text = text.unwrap_or_else(|error| panic!("{error}: {}", self.stderr));
        serde_json::from_str(&text).expect("JSON")
    }

    pub(crate) fn history(&self) -> History {
        let records =
            [records(&self.out.join("history.jsonl")), records(&self.out.join("proxy.jsonl"))];
        let mut history = History::default();
        for record in records.into_iter().flatten() {
            match record {
                Record::Anchor(_) => {}
                Record::Operation(operation) => {
                    history.operations.insert(operation.id, operation);
                }
                Record::Injection(injection) => history.injections.push(injection),
                Record::Event(event) => history.events.push(event),
            }
        }
        history
    }
}

fn records(path: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(path).expect("a history");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// All that a drill recorded.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) operations: BTreeMap<OperationId, Operation>,
    pub(crate) injections: Vec<Injection>,
    pub(crate) events: Vec<Event>,
}

/// One finding of a report.
#[track_caller]
pub(crate) fn finding<'a>(report: &'a Value, checker: &str) -> &'a Value {
    let findings = report["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["checker"] == checker);
    found.unwrap_or_else(|| panic!("no finding of {checker} in {findings:?}"))
}

/// A number of a report.
#[track_caller]
pub(crate) fn number(report: &Value, pointer: &str) -> f64 {
    let value = report.pointer(pointer).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("no number at {pointer} in {report:#}"))
}

/// A whole number of a report.
#[track_caller]
pub(crate) fn count(report: &Value, pointer: &str) -> u64 {
    let value = report.pointer(pointer).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("no count at {pointer} in {report:#}"))
}
