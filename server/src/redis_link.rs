//! The connection to Redis that store and bus share: whether it is up, and how it comes up again.

mod backoff;
mod url;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult,
};
use tokio::sync::Notify;
use tokio::time::timeout;

pub(crate) use backoff::Backoff;
pub use url::{InvalidRedisUrl, RedisUrl};

/// How often a connection that is up is asked whether it still is.
pub(crate) const PING_PAUSE: Duration = Duration::from_millis(500);
/// What it is asked: to change something, as requests ask, so that a Redis that only reads (a paused
/// one, a replica) does not count as up. Nobody has such a key.
const PROBE: [&str; 3] = ["PEXPIRE", "squall:session:probe", "1"];
/// Commands that wait for their turn on the one connection; more wait for a place, within their
/// deadline.
const PIPELINE: usize = 1024;

/// One Redis, and one connection that all commands go over.
///
/// While it is down, commands fail at once and nobody dials but the keeper, which tries again with
/// growing pauses. A connection that was merely dropped is replaced by the connection manager, within
/// the deadline of the commands that meet it.
pub(crate) struct Link {
    client: Client,
    deadline: Duration,
    /// The connection that answered last; none while Redis is down.
    up: ArcSwapOption<ConnectionManager>,
    /// Has the keeper look at once, and not at its next ping.
    doubt: Notify,
    /// Wakes those who wait until it is up.
    came_up: Notify,
}

/// What is asked of Redis in one round trip.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    One(&'a Cmd),
    Many(&'a Pipeline),
}

/// Whether a request may be sent once more when the connection was lost before it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Twice is as good as once.
    Safe,
    /// Twice is something else than once, or has another answer.
    Never,
}

/// A request that Redis did not fulfil.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("Redis is down, and is asked nothing until it answers again")]
    Down,
    #[error("the connection to Redis failed")]
    Lost(#[source] RedisError),
    #[error("Redis did not answer within {0:?}")]
    Late(Duration),
    #[error("Redis refused a command")]
    Refused(#[source] RedisError),
}

impl LinkError {
    /// Redis's own word for why it refused: `WRONGTYPE`, `OOM`.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused(error) => Some(error.code().unwrap_or("an answer of another type")),
            Self::Down | Self::Lost(_) | Self::Late(_) => None,
        }
    }

    /// The same, and what Redis says about it.
    pub(crate) fn reason(&self) -> Option<String> {
        let code = self.refusal()?;
        let Self::Refused(error) = self else { return None };
        let detail: String = error.detail().unwrap_or_default().chars().take(120).collect();
        Some(if detail.is_empty() { code.to_owned() } else { format!("{code} ({detail})") })
    }
}

impl Link {
    pub(crate) fn new(url: &RedisUrl, deadline: Duration) -> Arc<Self> {
        Arc::new(Self {
            client: url.client(),
            deadline,
            up: ArcSwapOption::empty(),
            doubt: Notify::new(),
            came_up: Notify::new(),
        })
    }

    /// Whether Redis answered when it was last asked.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load().is_some()
    }

    /// Waits until Redis answers.
    pub(crate) async fn wait_until_up(&self) {
        loop {
            let came_up = self.came_up.notified(); // from here on: it may come up at any time
            if self.is_up() {
                return;
            }
            came_up.await;
        }
    }

    /// Has the keeper look at once whether Redis still answers.
    pub(crate) fn look(&self) {
        self.doubt.notify_one();
    }

    /// How long one request may take.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Sends a request and waits for its answer, no longer than the deadline.
    pub(crate) async fn ask<T: FromRedisValue>(
        &self,
        request: Request<'_>,
        repeat: Repeat,
    ) -> Result<T, LinkError> {
        let Some(connection) = self.up.load_full() else {
            return Err(LinkError::Down);
        };
        match timeout(self.deadline, exchange(&connection, request, repeat)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if !is_lost(&error) => Err(LinkError::Refused(error)),
            Ok(Err(error)) => {
                match repeat {
                    Repeat::Safe => self.lose(&connection, &error),
                    Repeat::Never => self.look(), // a fresh connection may do
                }
                Err(LinkError::Lost(error))
            }
            Err(_) => {
                let error = LinkError::Late(self.deadline);
                self.lose(&connection, &error);
                Err(error)
            }
        }
    }

    /// Opens a connection of the caller's own, with its settings. Not while Redis is down.
    pub(crate) async fn dial(
        &self,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, LinkError> {
        if !self.is_up() {
            return Err(LinkError::Down);
        }
        let config = config.set_connection_timeout(None).set_response_timeout(None);
        self.in_time(self.client.get_multiplexed_async_connection_with_config(&config)).await
    }

    /// Waits for something that Redis does, no longer than the deadline.
    pub(crate) async fn in_time<T>(
        &self,
        work: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, LinkError> {
        let done = timeout(self.deadline, work).await;
        done.map_err(|_| LinkError::Late(self.deadline))?.map_err(LinkError::Lost)
    }

    /// Tries once to come up.
    pub(crate) async fn open(&self) {
        if let Err(error) = self.connect().await {
            let cause = chain(&error);
            tracing::warn!(%cause, "Redis is not reachable: requests are refused until it is");
        }
    }

    /// Keeps the connection up, and brings it up again when it went down.
    pub(crate) async fn keep(&self) -> Infallible {
        loop {
            self.come_up().await;
            self.stay_up().await;
        }
    }

    async fn come_up(&self) {
        let mut backoff = Backoff::default();
        while !self.is_up() {
            tokio::time::sleep(backoff.next_pause()).await;
            if let Err(error) = self.connect().await {
                tracing::debug!(cause = %chain(&error), "Redis is still not reachable");
            }
        }
    }

    async fn stay_up(&self) {
        while let Some(connection) = self.up.load_full() {
            tokio::select! {
                () = tokio::time::sleep(PING_PAUSE) => {}
                () = self.doubt.notified() => {}
            }
            let probed: Result<bool, _> = self.ask(Request::One(&probe()), Repeat::Safe).await;
            if let Err(error) = probed {
                self.lose(&connection, &error);
            }
        }
    }

    async fn connect(&self) -> Result<(), LinkError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(self.deadline))
            .set_response_timeout(None)
            .set_number_of_retries(0)
            .set_pipeline_buffer_size(PIPELINE);
        let attempt = async {
            let mut connection =
                ConnectionManager::new_with_config(self.client.clone(), config).await?;
            probe().query_async::<bool>(&mut connection).await?;
            Ok(connection)
        };
        let connection = self.in_time(attempt).await?;
        self.up.store(Some(Arc::new(connection)));
        self.came_up.notify_waiters();
        tracing::info!("Redis answers");
        Ok(())
    }

    /// Takes the link down, unless another connection is up already.
    fn lose(&self, connection: &Arc<ConnectionManager>, cause: &dyn std::error::Error) {
        let before = self.up.compare_and_swap(Arc::as_ptr(connection), None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, connection)) {
            let cause = chain(cause);
            tracing::warn!(%cause, "Redis is gone: requests are refused until it answers again");
            self.look();
        }
    }
}

impl Request<'_> {
    async fn send<T: FromRedisValue>(self, connection: &mut ConnectionManager) -> RedisResult<T> {
        match self {
            Self::One(command) => command.query_async(connection).await,
            Self::Many(pipeline) => pipeline.query_async(connection).await,
        }
    }
}

fn probe() -> Cmd {
    let [name, arguments @ ..] = PROBE;
    let mut probe = redis::cmd(name);
    probe.arg(&arguments);
    probe
}

/// Asks, and asks once more over a fresh connection if the first was dropped: the manager has begun
/// to replace it by the time it reports the loss.
async fn exchange<T: FromRedisValue>(
    connection: &ConnectionManager,
    request: Request<'_>,
    repeat: Repeat,
) -> RedisResult<T> {
    let mut connection = connection.clone();
    match request.send(&mut connection).await {
        Err(error) if repeat == Repeat::Safe && is_lost(&error) => {
            request.send(&mut connection).await
        }
        answer => answer,
    }
}

/// Whether the connection is of no use any more.
fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error()
}

/// An error and its sources on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> impl fmt::Display {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let source_text = source.to_string();
        if !text.ends_with(&source_text) {
            text = format!("{text}: {source_text}");
        }
        next = source.source();
    }
    text
}
