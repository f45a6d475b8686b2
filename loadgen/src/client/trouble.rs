//! What an error of a connection says about it, found anywhere in the chain of its sources.

use std::error::Error;
use std::io;

use http_body_util::LengthLimitError;
use squall_model::history::Cause;

/// The cause for the record.
pub(super) fn cause_of(error: &(dyn Error + 'static)) -> Cause {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(cause) = link(error) {
            return cause;
        }
        next = error.source();
    }
    Cause::Closed
}

fn link(error: &(dyn Error + 'static)) -> Option<Cause> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return match error.kind() {
            io::ErrorKind::ConnectionReset => Some(Cause::Reset),
            io::ErrorKind::ConnectionRefused => Some(Cause::Refused),
            io::ErrorKind::TimedOut => Some(Cause::Timeout),
            _ => None,
        };
    }
    if error.is::<LengthLimitError>() {
        return Some(Cause::Protocol("answer over 16 MiB".to_owned()));
    }
    let is_nonsense = error.downcast_ref::<hyper::Error>()?.is_parse();
    is_nonsense.then(|| Cause::Protocol("not HTTP/1.1".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_reset_is_found_however_deep_it_lies() {
        let outer = Outer(io::ErrorKind::ConnectionReset.into());
        assert_eq!(cause_of(&outer), Cause::Reset);
        let other = Outer(io::ErrorKind::UnexpectedEof.into());
        assert_eq!(cause_of(&other), Cause::Closed);
    }
}
