//! The Docker engine: found where one answers, and for `--setup` started and ended again.

use std::env;
use std::fs::File;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::geteuid;
use tokio::time::Instant;

use crate::command::{command, succeeds};
use crate::group::Group;
use crate::root;

const PROBE_DEADLINE: Duration = Duration::from_secs(10);
const START_DEADLINE: Duration = Duration::from_secs(60);
/// An engine gives its containers 15 seconds.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(250);

const LOG: &str = "target/dockerd.log";

/// An engine that answers. One that was started here ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Engine {
    started: Option<Group>,
}

impl Engine {
    /// The engine that answers already.
    pub(crate) fn find() -> Result<Self> {
        ensure!(
            answers(),
            "no Docker engine answers: start one, or let `cargo xtask test --setup` do so as root"
        );
        Ok(Self { started: None })
    }

    /// The engine that answers already, or one of our own.
    pub(crate) fn find_or_start() -> Result<Self> {
        if answers() {
            return Ok(Self { started: None });
        }
        ensure!(geteuid().is_root(), "no Docker engine answers, and only root can start one");
        let mut dockerd = command("dockerd");
        dockerd.args(host_arguments(env::var("DOCKER_HOST").ok().as_deref())?);
        let log = root().join(LOG);
        let log = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        dockerd.stdout(log.try_clone().context("cannot share the log of dockerd")?).stderr(log);
        eprintln!("starting dockerd, which logs to {LOG}");
        Self::start(&mut dockerd, answers, START_DEADLINE)
    }

    fn start(
        dockerd: &mut Command,
        answers: impl Fn() -> bool,
        deadline: Duration,
    ) -> Result<Self> {
        let begin = Instant::now();
        let group = Group::serve(dockerd).context("cannot start dockerd")?;
        while !answers() {
            // This is the pause, too.
            ensure!(!group.ends_within(PAUSE), "dockerd ended at once: {LOG} says why");
            ensure!(
                begin.elapsed() < deadline,
                "dockerd did not answer within {deadline:?}: {LOG} says why"
            );
        }
        Ok(Self { started: Some(group) })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Some(group) = self.started.take() else { return };
        eprintln!("ending the dockerd that was started here");
        group.ask_to_end();
        if !group.ends_within(STOP_DEADLINE) {
            eprintln!("dockerd did not end within {STOP_DEADLINE:?}, and is killed");
        }
    }
}

fn answers() -> bool {
    succeeds(command("docker").arg("version"), PROBE_DEADLINE)
}

/// What an engine has to be told in order to be found at `host`, the value of `DOCKER_HOST`.
fn host_arguments(host: Option<&str>) -> Result<Vec<String>> {
    match host {
        None | Some("") => Ok(Vec::new()),
        Some(host) if host.starts_with("unix://") => Ok(vec!["--host".to_owned(), host.to_owned()]),
        Some(host) => bail!("no Docker engine answers at {host}, which DOCKER_HOST names"),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut shell = command("sh");
        shell.args(["-c", script]).stdout(Stdio::null());
        shell
    }

    #[test]
    fn an_engine_is_started_where_it_will_be_looked_for() {
        for (host, expected) in [
            (None, Some(vec![])),
            (Some(""), Some(vec![])),
            (Some("unix:///run/a.sock"), Some(vec!["--host", "unix:///run/a.sock"])),
            (Some("tcp://10.0.0.1:2375"), None),
            (Some("ssh://somewhere"), None),
        ] {
            let arguments = host_arguments(host).ok();
            let arguments: Option<Vec<_>> =
                arguments.as_ref().map(|all| all.iter().map(String::as_str).collect());
            assert_eq!(arguments, expected, "{host:?}");
        }
    }

    #[test]
    fn an_engine_of_ours_is_asked_to_end_before_it_is_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (up, ended) = (folder.path().join("up"), folder.path().join("ended"));
        let script = format!(
            "trap 'echo > {}; exit' TERM; echo > {}; while :; do sleep 0.05; done",
            ended.display(),
            up.display()
        );
        let engine = Engine::start(&mut shell(&script), || up.exists(), MINUTE).expect("it starts");
        drop(engine);
        assert!(ended.exists());
    }

    #[test]
    fn an_engine_that_ends_or_stays_silent_is_an_error() {
        let error = Engine::start(&mut shell("exit 1"), || false, MINUTE).expect_err("it ended");
        assert!(error.to_string().contains("ended at once"), "{error}");
        let silent = Engine::start(&mut shell("sleep 100000"), || false, Duration::ZERO);
        let error = silent.expect_err("it is silent");
        assert!(error.to_string().contains("did not answer"), "{error}");
    }
}
