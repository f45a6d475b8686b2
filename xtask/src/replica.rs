//! A `squall` process of ours: started, waited for until it listens, killed by its handle.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::process::Stdio;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::command;
use crate::group::Group;

const START_DEADLINE: Duration = Duration::from_secs(60);

/// A running process, and all that it started.
pub(crate) struct Replica {
    /// Killed when this is dropped.
    _group: Group,
    /// `http://HOST:PORT`, without a path.
    pub(crate) base: String,
}

impl Replica {
    /// Starts `program` and waits for the line `… listening on http://…` on its standard error.
    pub(crate) fn start(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<Self> {
        let name = arguments.first().copied().unwrap_or("squall");
        let mut command = command(program);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = Group::start(&mut command);
        let mut group = started.with_context(|| format!("cannot start `squall {name}`"))?;
        let log = group.leader().stderr.take().context("the log is a pipe")?;
        let (found, address) = channel();
        thread::spawn(move || watch(log, &found));
        let base = address.recv_timeout(START_DEADLINE).with_context(|| {
            format!(
                "`squall {name}` ended or stayed silent for {START_DEADLINE:?}: \
                 a line `listening on http://…` was expected"
            )
        })?;
        Ok(Self { _group: group, base })
    }
}

/// Passes the log on, and tells the first address in it.
fn watch(log: impl Read, found: &Sender<String>) {
    for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        eprintln!("  {line}");
        if let Some(base) = listening_on(&line) {
            let _ = found.send(base); // only the first is received
        }
    }
}

fn listening_on(line: &str) -> Option<String> {
    let (_, url) = line.split_once("listening on http://")?;
    let authority = url.split(['/', ' ', ',']).next()?;
    (!authority.is_empty()).then(|| format!("http://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_line_that_tells_it() {
        for (line, expected) in [
            ("squall server listening on http://127.0.0.1:4000/mcp", Some("http://127.0.0.1:4000")),
            ("squall proxy listening on http://[::1]:1, admin on x", Some("http://[::1]:1")),
            ("squall proxy listening on http://", None),
            ("starting", None),
        ] {
            assert_eq!(listening_on(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_process_that_listens_is_found_and_one_that_ends_is_an_error() {
        let talk =
            "echo starting >&2; echo listening on http://127.0.0.1:7/mcp >&2; exec sleep 600";
        let replica = Replica::start("sh", &["-c", talk]).expect("it listens");
        assert_eq!(replica.base, "http://127.0.0.1:7");
        assert!(Replica::start("sh", &["-c", "exit 3"]).is_err());
        assert!(Replica::start("squall-no-such-command", &[]).is_err());
    }
}
