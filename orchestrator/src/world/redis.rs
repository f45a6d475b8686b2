//! The Redis of a world, driven directly: the faults that only a store has.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, cmd};
use tokio::time::timeout;

/// How long one command may take, the connection included.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a drill is called among the clients of a Redis.
const OWN_NAME: &str = "squall-drill";

/// Where a Redis can be reached. It may hold a password, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The Redis without a password that listens there.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self(format!("redis://{address}/"))
    }

    /// The URL as it is.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match redis::Client::open(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            // The text itself may hold a password.
            Err(error) => Err(format!(
                "this is not the URL of a Redis ({error}): redis://HOST:PORT was expected"
            )),
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.split_once("://"), self.0.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, place))) => write!(f, "{scheme}://{place}"),
            _ => f.write_str(&self.0),
        }
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
    #[error("redis at {url} would not {what}")]
    Refused {
        /// Where it is.
        url: String,
        /// What was asked for.
        what: &'static str,
        /// Its word.
        #[source]
        source: redis::RedisError,
    },
    /// It did not answer.
    #[error("redis at {url} did not {what} within {DEADLINE:?}")]
    Silent {
        /// Where it is.
        url: String,
        /// What was asked for.
        what: &'static str,
    },
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

    /// Answers no command for so long (`CLIENT PAUSE`).
    pub(crate) async fn pause_clients(&self, lasting: Duration) -> Result<(), RedisError> {
        let mut pause = cmd("CLIENT");
        pause.arg("PAUSE").arg(lasting.as_millis() as u64);
        self.ask("pause its clients", vec![pause]).await
    }

    /// Ends such a pause before its time (`CLIENT UNPAUSE`).
    pub(crate) async fn unpause_clients(&self) -> Result<(), RedisError> {
        let mut unpause = cmd("CLIENT");
        unpause.arg("UNPAUSE");
        self.ask("unpause its clients", vec![unpause]).await
    }

    /// How many others are connected to it, subscribers included.
    pub(crate) async fn clients(&self) -> Result<usize, RedisError> {
        let mut list = cmd("CLIENT");
        list.arg("LIST");
        let answers = self.query("list its clients", &[list]).await?;
        let [redis::Value::BulkString(text)] = &answers[..] else { return Ok(0) };
        let others = |line: &&str| !line.contains(&format!(" name={OWN_NAME} "));
        Ok(String::from_utf8_lossy(text).lines().filter(others).count())
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
        let url = || self.to_string();
        let asked = timeout(DEADLINE, self.send(commands)).await;
        let asked = asked.map_err(|_| RedisError::Silent { url: url(), what })?;
        asked.map_err(|source| RedisError::Refused { url: url(), what, source })
    }

    async fn send(&self, commands: &[Cmd]) -> Result<Vec<redis::Value>, redis::RedisError> {
        let client = redis::Client::open(self.as_str())?;
        let mut connection: MultiplexedConnection =
            client.get_multiplexed_async_connection().await?;
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
        let url: RedisUrl = "redis://user:secret@127.0.0.1:6379/1".parse().expect("a URL");
        for shown in [url.to_string(), format!("{url:?}")] {
            assert!(!shown.contains("secret") && shown.contains("127.0.0.1:6379/1"), "{shown}");
        }
        let error = "reds://:secret@host".parse::<RedisUrl>().expect_err("no URL");
        assert!(!error.contains("secret") && error.contains("redis://HOST:PORT"), "{error}");
    }
}
