//! Where Redis is: a URL, checked once, that is never printed with its password.

use std::str::FromStr;

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion};

/// The address of a Redis, and what it takes to get in.
#[derive(Clone, Debug)]
pub struct RedisUrl(Client);

/// A text that is no address of a Redis that can be used here. It may hold a password, and is not
/// repeated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRedisUrl {
    /// `rediss://`.
    #[error(
        "the Redis URL asks for TLS, which is not supported yet: \
         redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] was expected"
    )]
    Tls,
    /// Not a URL, of another scheme, or with a part that means nothing.
    #[error(
        "the Redis URL is wrong ({0}): redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] was expected"
    )]
    Unreadable(String),
}

impl RedisUrl {
    pub(super) fn client(&self) -> Client {
        self.0.clone()
    }

    /// What those know who share it, and nobody else if it has a password.
    pub(crate) fn secret(&self) -> Vec<u8> {
        let info = self.0.get_connection_info();
        let redis = info.redis_settings();
        let (user, password) = (redis.username(), redis.password());
        format!("{} {} {user:?} {password:?}", info.addr(), redis.db()).into_bytes()
    }
}

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, InvalidRedisUrl> {
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        if scheme == "rediss" || scheme == "valkeys" {
            return Err(InvalidRedisUrl::Tls);
        }
        let info = text.into_connection_info().map_err(|error| reason(&error))?;
        if info.redis_settings().db() < 0 {
            return Err(InvalidRedisUrl::Unreadable("the database is below 0".to_owned()));
        }
        Client::open(with_our_settings(info)).map(Self).map_err(|error| reason(&error))
    }
}

/// RESP3, so that a connection that hears of notifications can be pinged, and no Nagle's algorithm,
/// which would hold up small commands.
fn with_our_settings(info: ConnectionInfo) -> ConnectionInfo {
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    info.set_redis_settings(redis).set_tcp_settings(TcpSettings::default().set_nodelay(true))
}

/// The words of the library, without its kinds and details, which could repeat what was given.
fn reason(error: &redis::RedisError) -> InvalidRedisUrl {
    let text = error.to_string();
    let words = text.split(" - ").next().unwrap_or_default();
    InvalidRedisUrl::Unreadable(words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_redis_are_taken() {
        for url in [
            "redis://127.0.0.1",
            "redis://127.0.0.1:6379/2",
            "redis://:secret@redis:6379",
            "redis://user:p%40ss@[::1]:6379/0",
            "unix:///run/redis.sock",
        ] {
            assert!(url.parse::<RedisUrl>().is_ok(), "{url}");
        }
    }

    fn check(url: &str, word: &str) {
        let error = url.parse::<RedisUrl>().expect_err(url).to_string();
        assert!(error.contains(word) && error.contains("redis://["), "{url}: {error}");
        assert!(!error.contains("secret") && !error.contains('\n'), "{url}: {error}");
    }

    #[test]
    fn other_urls_are_refused_without_their_password() {
        check("rediss://:secret@redis:6379", "TLS");
        check("REDISS://redis", "TLS");
        check("redis://", "wrong");
        check("redis:6379", "wrong");
        check("http://:secret@redis", "did not parse");
        check("redis://:secret@redis:port", "did not parse");
        check("redis://:secret@redis/name", "database");
        check("redis://:secret@redis/-1", "below 0");
        check("redis://:secret@redis?protocol=secret", "protocol");
        check("secret", "did not parse");
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url: RedisUrl = "redis://user:secret@redis".parse().expect("a URL");
        assert!(!format!("{url:?}").contains("secret"), "{url:?}");
    }
}
