//! What a shim and its drill say to each other: orders on its stdin, reports on its stdout.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::identity::ProcessId;
use super::signal::{NotASignal, Signal};

/// A line on a shim's stdout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// The command runs.
    Started(ProcessId),
    /// The command could not be run; nothing was started.
    NotStarted {
        /// Why, in the system's words.
        reason: String,
    },
    /// An order was carried out.
    Signalled {
        /// What was sent.
        signal: Signal,
        /// How many processes got it.
        processes: usize,
    },
    /// The command ended. What is left of its tree is being killed.
    Exited(Exit),
    /// The last line of a shim that could not end these processes.
    Left {
        /// Their pids.
        pids: Vec<u32>,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// By itself, with this exit code.
    Code(i32),
    /// By the signal of this number.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match name_of(*number) {
                Some(signal) => write!(f, "ended by {signal}"),
                None => write!(f, "ended by signal {number}"),
            },
        }
    }
}

fn name_of(number: i32) -> Option<Signal> {
    Some(match number {
        1 => Signal::Hup,
        2 => Signal::Int,
        3 => Signal::Quit,
        9 => Signal::Kill,
        15 => Signal::Term,
        _ => return None,
    })
}

/// A line on a shim's stdin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `signal KILL`: to every process of the command's tree, not to the shim.
    Signal(Signal),
}

/// A line that is not an order.
#[derive(Debug, thiserror::Error)]
pub enum BadOrder {
    /// Not a known word.
    #[error("`{0}` is not an order: expected `signal NAME`")]
    Unknown(String),
    /// Not a known signal.
    #[error(transparent)]
    Signal(#[from] NotASignal),
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Signal(signal) = self;
        write!(f, "signal {}", signal.name())
    }
}

impl std::str::FromStr for Order {
    type Err = BadOrder;

    fn from_str(line: &str) -> Result<Self, BadOrder> {
        match line.trim().split_once(' ') {
            Some(("signal", name)) => Ok(Self::Signal(name.trim().parse()?)),
            _ => Err(BadOrder::Unknown(line.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_of_json() {
        for (report, line) in [
            (Report::Started(ProcessId { pid: 7, start: 9 }), r#"{"started":{"pid":7,"start":9}}"#),
            (Report::Exited(Exit::Code(3)), r#"{"exited":{"code":3}}"#),
            (Report::Exited(Exit::Signal(9)), r#"{"exited":{"signal":9}}"#),
        ] {
            assert_eq!(serde_json::to_string(&report).expect(line), line);
            assert_eq!(serde_json::from_str::<Report>(line).expect(line), report);
        }
    }

    #[test]
    fn an_order_is_read_as_it_is_written() {
        let order = Order::Signal(Signal::Stop);
        assert_eq!(order.to_string(), "signal STOP");
        assert_eq!(order.to_string().parse::<Order>().ok(), Some(order));
        for bad in ["", "signal", "signal X", "exit"] {
            assert!(bad.parse::<Order>().is_err(), "{bad:?}");
        }
    }
}
