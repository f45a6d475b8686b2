//! The Compose tool that is installed: `docker compose`, or `docker-compose` of old.
//!
//! It only brings a stack up. Taking it down is done through the engine, by the project's label,
//! which needs neither the tool nor the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::DockerError;
use crate::shim::report::Exit;
use crate::world::Children;

/// How long the tool may take to say its version, or to read a file.
const LOOK: Duration = Duration::from_secs(30);

/// How long it may take to bring a stack up: images may have to come from a registry first.
const UP: Duration = Duration::from_secs(15 * 60);

/// The tool, as the words that its command lines begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tool(&'static [&'static str]);

/// The tools that are looked for, the newer first.
const TOOLS: [Tool; 2] = [Tool(&["docker", "compose"]), Tool(&["docker-compose"])];

/// A Compose file and what fills in its variables.
#[derive(Debug)]
pub(super) struct Stack<'a> {
    pub(super) file: &'a Path,
    pub(super) project: &'a str,
    pub(super) environment: BTreeMap<String, String>,
}

impl Tool {
    /// The first tool that answers.
    pub(super) async fn find() -> Result<Self, DockerError> {
        for tool in TOOLS {
            let mut version = tool.command();
            version.arg("version");
            if look(&mut version).await.is_some_and(|output| output.status.success()) {
                return Ok(tool);
            }
        }
        Err(DockerError::NoCompose)
    }

    /// Whether the file is one that the tool reads, with the variables filled in.
    pub(super) async fn check(&self, stack: &Stack<'_>) -> Result<(), DockerError> {
        let refused = |why: String| DockerError::ComposeFile { path: stack.file.to_owned(), why };
        if !stack.file.is_file() {
            return Err(refused("there is no such file".to_owned()));
        }
        let mut config = self.command();
        config.args(self.arguments(stack)).args(["config", "--quiet"]).envs(&stack.environment);
        let output = look(&mut config).await;
        let output = output.ok_or_else(|| refused(format!("{self} gave no answer")))?;
        if output.status.success() {
            return Ok(());
        }
        Err(refused(said(&String::from_utf8_lossy(&output.stderr))))
    }

    /// Starts these services and what they depend on. Returns when they are started; whether they
    /// are ready is another question. The tool runs as a child of the drill, and its log is one of
    /// the run's.
    pub(super) async fn up(
        &self,
        stack: &Stack<'_>,
        services: &[String],
        children: &Children,
    ) -> Result<(), DockerError> {
        let mut command: Vec<String> = self.0.iter().map(|word| (*word).to_owned()).collect();
        command.extend(self.arguments(stack));
        // A drill drills what is there, and makes no image that nobody asked for.
        command.extend(["up", "--detach", "--no-build"].map(str::to_owned));
        command.extend_from_slice(services);
        let child = children.spawn("compose", &command, &stack.environment).await?;
        let failed = |how: String| DockerError::ComposeUp {
            how,
            said: said(&child.last_words()),
            log: child.log().to_owned(),
        };
        match child.exited(UP).await {
            Some(Some(Exit::Code(0))) => Ok(()),
            Some(exit) => {
                let how = exit.map_or_else(|| "was killed".to_owned(), |exit| exit.to_string());
                Err(failed(how))
            }
            None => {
                child.stop(Duration::from_secs(2)).await?;
                Err(failed(format!("not done within {UP:?}")))
            }
        }
    }

    fn arguments(&self, stack: &Stack<'_>) -> Vec<String> {
        let file = stack.file.display().to_string();
        ["--file", &file, "--project-name", stack.project].map(str::to_owned).to_vec()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.0[0]);
        command.args(&self.0[1..]).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

async fn look(command: &mut Command) -> Option<Output> {
    timeout(LOOK, command.output()).await.ok()?.ok()
}

/// What the tool says in one line: its first complaint and what follows, with the line before, which says
/// what it was about; or else its last words.
fn said(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_complaint = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("error") || line.contains("error:")
    };
    let complaint = lines.iter().position(is_complaint).unwrap_or(lines.len().saturating_sub(1));
    let text = lines[complaint.saturating_sub(1)..].join("; ");
    if text.is_empty() { "it said nothing".to_owned() } else { text.chars().take(400).collect() }
}

/// A project's name for a run: Compose takes lower case only.
pub(super) fn project_of(run: &str) -> String {
    format!("squall-{}", run.to_ascii_lowercase())
}

/// A path that counts from the folder of the runbook.
pub(super) fn in_folder(base: &Path, path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { base.join(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complaint_of_the_tool_is_one_line() {
        for (stderr, expected) in [
            ("", "it said nothing"),
            ("ERROR: yaml: line 3\n  found x\n", "ERROR: yaml: line 3; found x"),
            (
                "Creating a ... done\nERROR: for b  no such image\nERROR: Encountered errors\n",
                "Creating a ... done; ERROR: for b  no such image; ERROR: Encountered errors",
            ),
            (
                "Made\nPulling b (image)...\nGet x: no such host\n",
                "Pulling b (image)...; Get x: no such host",
            ),
        ] {
            assert_eq!(said(stderr), expected);
        }
    }

    #[test]
    fn a_project_is_named_for_its_run_in_lower_case() {
        assert_eq!(project_of("20261123T154501-ab12"), "squall-20261123t154501-ab12");
    }
}
