//! The signals that a drill sends.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A signal, written as `KILL` (`SIGKILL` is understood too).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Signal {
    /// Ends a process at once; it cannot be caught.
    Kill,
    /// Asks a process to end.
    Term,
    /// What Ctrl-C sends.
    Int,
    /// What a terminal sends when it goes away.
    Hup,
    /// Ends a process with a core dump.
    Quit,
    /// Freezes a process; it cannot be caught.
    Stop,
    /// Lets a frozen process go on.
    Cont,
    /// Free for the program's own use.
    Usr1,
    /// Free for the program's own use.
    Usr2,
}

/// A name that is not one of the signals.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a signal that Squall sends: expected KILL, TERM, INT, HUP, QUIT, STOP, CONT, USR1 or USR2"
)]
pub struct NotASignal(String);

impl Signal {
    /// Whether a process that does not catch it ends by it, and is meant to.
    pub fn ends_processes(self) -> bool {
        matches!(self, Self::Kill | Self::Term | Self::Int | Self::Hup | Self::Quit)
    }

    const ALL: [Self; 9] = [
        Self::Kill,
        Self::Term,
        Self::Int,
        Self::Hup,
        Self::Quit,
        Self::Stop,
        Self::Cont,
        Self::Usr1,
        Self::Usr2,
    ];

    /// The name without `SIG`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Hup => "HUP",
            Self::Quit => "QUIT",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{}", self.name())
    }
}

impl FromStr for Signal {
    type Err = NotASignal;

    fn from_str(text: &str) -> Result<Self, NotASignal> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let mut all = Self::ALL.into_iter();
        all.find(|signal| signal.name() == name).ok_or_else(|| NotASignal(text.to_owned()))
    }
}

impl TryFrom<String> for Signal {
    type Error = NotASignal;

    fn try_from(text: String) -> Result<Self, NotASignal> {
        text.parse()
    }
}

impl From<Signal> for String {
    fn from(signal: Signal) -> Self {
        signal.name().to_owned()
    }
}

impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Kill => Self::KILL,
            Signal::Term => Self::TERM,
            Signal::Int => Self::INT,
            Signal::Hup => Self::HUP,
            Signal::Quit => Self::QUIT,
            Signal::Stop => Self::STOP,
            Signal::Cont => Self::CONT,
            Signal::Usr1 => Self::USR1,
            Signal::Usr2 => Self::USR2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read_with_and_without_its_prefix() {
        for signal in Signal::ALL {
            assert_eq!(signal.name().parse::<Signal>().ok(), Some(signal));
            assert_eq!(signal.to_string().parse::<Signal>().ok(), Some(signal));
        }
        let error = "KIL".parse::<Signal>().expect_err("misspelt").to_string();
        assert!(error.contains("`KIL`") && error.contains("KILL"), "{error}");
    }
}
