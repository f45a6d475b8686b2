//! The `Origin` check, against web pages that reach for a local server (basic/transports,
//! security warning).

use http::HeaderMap;
use http::header::ORIGIN;

use super::refusal::Refusal;
use crate::methods::clip;

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Refuses a request of a web page from elsewhere. No `Origin` means no web page.
pub(crate) fn check(headers: &HeaderMap, allowed: &[String]) -> Result<(), Refusal> {
    for value in headers.get_all(ORIGIN) {
        let origin = String::from_utf8_lossy(value.as_bytes());
        let is_allowed = allowed.iter().any(|one| one.eq_ignore_ascii_case(&origin));
        if !is_allowed && !is_loopback(&origin) {
            return Err(Refusal::Origin(clip(&origin)));
        }
    }
    Ok(())
}

fn is_loopback(origin: &str) -> bool {
    let origin = origin.to_ascii_lowercase();
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let rest = authority.and_then(|text| LOOPBACK.iter().find_map(|host| text.strip_prefix(host)));
    match rest {
        None => false,
        Some("") => true,
        Some(port) => port.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(origin: &str) -> bool {
        let allowed = ["https://app.example".to_owned()];
        let headers = [(ORIGIN, origin.parse().expect(origin))];
        check(&HeaderMap::from_iter(headers), &allowed).is_ok()
    }

    #[test]
    fn loopback_and_allowed_origins_pass_and_look_alikes_do_not() {
        for (origin, passes) in [
            ("http://localhost", true),
            ("http://localhost:6274", true),
            ("https://127.0.0.1:1", true),
            ("http://[::1]:8080", true),
            ("HTTPS://app.example", true),
            ("https://app.example:8443", false),
            ("http://localhost.evil.example", false),
            ("http://localhost:", false),
            ("http://localhost:80/x", false),
            ("http://127.0.0.1@evil.example", false),
            ("http://evil.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(check_one(origin), passes, "{origin}");
        }
    }

    #[test]
    fn a_request_without_an_origin_passes() {
        assert!(check(&HeaderMap::new(), &[]).is_ok());
    }
}
