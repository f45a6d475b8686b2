//! The Redis of a world, driven directly: the faults that only a store has.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue as _, cmd};
use tokio::time::timeout;

/// How long what is asked may take, the connection included.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a drill is called among the clients of a Redis.
const OWN_NAME: &str = "squall-drill";

/// Where a Redis can be reached. It may hold a password, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    url: String,
    /// Its host and port, or its socket: what may be shown.
    place: String,
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text itself may hold a password.
        let bad = |error| {
            format!("this is not the URL of a Redis ({error}): redis://HOST:PORT was expected")
        };
        let client = redis::Client::open(text).map_err(bad)?;
        let place = client.get_connection_info().addr().to_string();
        Ok(Self { url: text.to_owned(), place })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

/// Why Redis did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// It said no, or could not be reached.
    #[error("redis at {place} would not {what}: {why}")]
    Refused {
        /// Where it is.
        place: String,
        /// What was asked for.
        what: &'static str,
        /// Its word.
        why: String,
    },
    /// It did not answer, and may have done it all the same.
    #[error("redis at {place} gave no answer within {DEADLINE:?} when it was to {what}")]
    Silent {
        /// Where it is.
        place: String,
        /// What was asked for.
        what: &'static str,
    },
}

impl RedisUrl {
    /// The Redis without a password that listens there.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { url: format!("redis://{address}/"), place: address.to_string() }
    }

    /// The URL as it is.
    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }
}

impl RedisUrl {
    /// Forgets everything (`FLUSHALL`).
    pub(crate) async fn flush(&self) -> Result<(), RedisError> {
        self.ask("flush", vec![cmd("FLUSHALL")]).await
    }

    /// Drops the connections of all clients but this one (`CLIENT KILL`).
    pub(crate) async fn kill_clients(&self) -> Result<(), RedisError> {
        let kind = |kind| {
            let mut kill = cmd("CLIENT");
            kill.arg("KILL").arg("TYPE").arg(kind);
            kill
        };
        self.ask("drop its clients", vec![kind("normal"), kind("pubsub")]).await
    }

    /// Answers no command for so long (`CLIENT PAUSE`). It ends by itself, and by nothing else: `CLIENT
    /// UNPAUSE` would have to wait, too.
    pub(crate) async fn pause_clients(&self, lasting: Duration) -> Result<(), RedisError> {
        let mut pause = cmd("CLIENT");
        pause.arg("PAUSE").arg(lasting.as_millis() as u64);
        self.ask("pause its clients", vec![pause]).await
    }

    /// How many others are connected to it, subscribers included.
    pub(crate) async fn clients(&self) -> Result<usize, RedisError> {
        let mut list = cmd("CLIENT");
        list.arg("LIST");
        let answers = self.query("list its clients", &[list]).await?;
        let text = answers.into_iter().next().and_then(|list| String::from_redis_value(list).ok());
        let others = |line: &&str| !line.contains(&format!(" name={OWN_NAME} "));
        Ok(text.unwrap_or_default().lines().filter(others).count())
    }

    /// Whether it answers, and has read what it keeps on disk.
    pub(crate) async fn ping(&self) -> Result<(), RedisError> {
        self.ask("answer", vec![cmd("PING")]).await
    }

    async fn ask(&self, what: &'static str, commands: Vec<Cmd>) -> Result<(), RedisError> {
        self.query(what, &commands).await.map(drop)
    }

    async fn query(
        &self,
        what: &'static str,
        commands: &[Cmd],
    ) -> Result<Vec<redis::Value>, RedisError> {
        let place = self.to_string();
        match timeout(DEADLINE, self.send(commands)).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => Err(RedisError::Refused { place, what, why: error.to_string() }),
            Err(_) => Err(RedisError::Silent { place, what }),
        }
    }

    async fn send(&self, commands: &[Cmd]) -> Result<Vec<redis::Value>, redis::RedisError> {
        let client = redis::Client::open(self.as_str())?;
        // The library's own deadlines are shorter than some commands take.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection: MultiplexedConnection =
            client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut name = cmd("CLIENT");
        name.arg("SETNAME").arg(OWN_NAME);
        name.query_async::<redis::Value>(&mut connection).await?;
        let mut answers = Vec::new();
        for command in commands {
            answers.push(command.query_async(&mut connection).await?);
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, place) in [
            ("redis://user:secret@127.0.0.1:6379/1", "127.0.0.1:6379"),
            ("redis+unix:///run/redis.sock?pass=secret", "/run/redis.sock"),
        ] {
            let url: RedisUrl = url.parse().expect("a URL");
            for shown in [url.to_string(), format!("{url:?}")] {
                assert!(!shown.contains("secret") && shown.contains(place), "{shown}");
            }
        }
        let error = "reds://:secret@host".parse::<RedisUrl>().expect_err("no URL");
        assert!(!error.contains("secret") && error.contains("redis://HOST:PORT"), "{error}");
    }
}
