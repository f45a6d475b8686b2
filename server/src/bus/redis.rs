//! Notifications over Redis Pub/Sub: what one replica publishes, the streams of all replicas get.
//!
//! Every replica, the sender too, takes what it delivers from the channel, so that all of them
//! deliver in one order. The channel belongs to the whole Redis: databases do not keep servers apart
//! on it. What is published while a replica is not subscribed does not reach it: Pub/Sub keeps
//! nothing. A session that has a stream on two replicas, which none of them can see, gets what is
//! for it on both.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Msg, PushInfo, PushKind, cmd};
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::envelope::Envelope;
use super::{PublishError, Reach, Target, deliver};
use crate::redis_link::{Backoff, Link, LinkError, PING_PAUSE, Repeat, Request, chain};
use crate::streams::Streams;

const CHANNEL: &str = "squall:notifications";

pub(crate) struct RedisBus {
    link: Arc<Link>,
    streams: Arc<Streams>,
    /// Whether this replica is subscribed.
    hears: AtomicBool,
    published: AtomicU64,
    hasher: RandomState,
    /// Notifications of this replica that have yet to come back over the channel.
    awaited: Mutex<HashMap<u64, oneshot::Sender<usize>>>,
}

/// A connection that hears what is published, for as long as it lives.
pub(crate) struct Subscription {
    connection: MultiplexedConnection,
    lost: CancellationToken,
}

impl RedisBus {
    pub(crate) fn new(link: &Arc<Link>, streams: &Arc<Streams>) -> Arc<Self> {
        Arc::new(Self {
            link: Arc::clone(link),
            streams: Arc::clone(streams),
            hears: AtomicBool::new(false),
            published: AtomicU64::new(0),
            hasher: RandomState::new(),
            awaited: Mutex::default(),
        })
    }

    pub(crate) fn hears(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    /// Publishes a message, and waits until this replica has delivered it, too.
    pub(crate) async fn publish(
        &self,
        to: Target,
        message: &RawValue,
    ) -> Result<Reach, PublishError> {
        let echo = Echo::of(self);
        let envelope = Envelope { id: echo.id, to, message };
        let mut publish = cmd("PUBLISH");
        publish.arg(CHANNEL).arg(serde_json::to_vec(&envelope).unwrap_or_default());
        let replicas = self.link.ask(Request::One(&publish), Repeat::Never).await?;
        let streams = if replicas > 0 && self.hears() { echo.streams().await } else { 0 };
        Ok(Reach { streams, replicas })
    }

    /// Hears what is published, and subscribes again whenever that ends, once the link is up.
    /// `first` is what the first attempt came to.
    pub(crate) async fn listen(
        self: Arc<Self>,
        first: Result<Subscription, LinkError>,
    ) -> Infallible {
        let mut attempt = first;
        let mut backoff = Backoff::default();
        let mut is_told = false;
        loop {
            match attempt {
                Ok(subscription) => {
                    self.hear_out(subscription).await;
                    backoff = Backoff::default();
                    is_told = false;
                }
                // Of a Redis that is down, the link tells.
                Err(error) if self.link.is_up() && !is_told => {
                    tracing::warn!(cause = %chain(&error), "cannot hear other replicas' notifications");
                    is_told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(backoff.next_pause()).await;
            self.link.wait_until_up().await;
            attempt = self.subscribe().await;
        }
    }

    /// Tries once to subscribe.
    pub(crate) async fn subscribe(self: &Arc<Self>) -> Result<Subscription, LinkError> {
        let subscription = Subscription::open(self).await?;
        self.hears.store(true, Ordering::Relaxed);
        Ok(subscription)
    }

    async fn hear_out(&self, subscription: Subscription) {
        let cause = subscription.end(&self.link).await;
        self.hears.store(false, Ordering::Relaxed);
        self.link.look();
        tracing::debug!(cause = %chain(&cause), "the subscription to notifications ended");
    }

    /// Delivers what came over the channel. A stream that takes no more is ended, as ever, so that
    /// this never waits.
    fn hear(&self, payload: &[u8]) {
        match Envelope::read(payload) {
            Ok(envelope) => {
                let reached = deliver(&self.streams, envelope.to, envelope.message);
                if let Some(echo) = self.awaited.lock().remove(&envelope.id) {
                    let _ = echo.send(reached); // nobody waits any more
                }
            }
            Err(error) => tracing::debug!(%error, "ignored something on the channel"),
        }
    }
}

impl Subscription {
    async fn open(bus: &Arc<RedisBus>) -> Result<Self, LinkError> {
        let lost = CancellationToken::new();
        let config = AsyncConnectionConfig::new().set_push_sender(hearer(bus, &lost));
        let mut connection = bus.link.dial(config).await?;
        bus.link.in_time(connection.subscribe(CHANNEL)).await?;
        Ok(Self { connection, lost })
    }

    /// Waits until the connection is dropped, or does not answer any more, and says why.
    async fn end(mut self, link: &Link) -> LinkError {
        loop {
            tokio::select! {
                () = tokio::time::sleep(PING_PAUSE) => {}
                () = self.lost.cancelled() => {}
            }
            let ping = cmd("PING");
            let pong = ping.query_async::<String>(&mut self.connection);
            if let Err(error) = link.in_time(pong).await {
                return error;
            }
        }
    }
}

/// Takes what Redis sends unasked. It is called where the connection is read, so that a flood is held
/// back in the socket and not piled up here.
fn hearer(
    bus: &Arc<RedisBus>,
    lost: &CancellationToken,
) -> impl Fn(PushInfo) -> Result<(), Infallible> + Send + Sync + 'static {
    let (bus, lost) = (Arc::clone(bus), lost.clone());
    move |push| {
        match push.kind {
            PushKind::Disconnection => lost.cancel(),
            PushKind::Message => {
                if let Some(message) = Msg::from_push_info(push) {
                    bus.hear(message.get_payload_bytes());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// One notification that this replica waits to hear itself.
struct Echo<'a> {
    bus: &'a RedisBus,
    id: u64,
    heard: oneshot::Receiver<usize>,
}

impl<'a> Echo<'a> {
    fn of(bus: &'a RedisBus) -> Self {
        let number = bus.published.fetch_add(1, Ordering::Relaxed);
        let id = bus.hasher.hash_one(number); // like no other replica's
        let (sender, heard) = oneshot::channel();
        bus.awaited.lock().insert(id, sender);
        Self { bus, id, heard }
    }

    /// How many streams of this replica it reached; none if it does not come in time.
    async fn streams(mut self) -> usize {
        match timeout(self.bus.link.deadline(), &mut self.heard).await {
            Ok(Ok(streams)) => streams,
            _ => 0,
        }
    }
}

impl Drop for Echo<'_> {
    fn drop(&mut self) {
        self.bus.awaited.lock().remove(&self.id);
    }
}

impl From<LinkError> for PublishError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Down => Self::Unreachable,
            LinkError::Lost(_) | LinkError::Late(_) => Self::Unknown,
            LinkError::Refused(_) => Self::Refused(error.refusal().unwrap_or_default().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn while_redis_is_down_nothing_is_published_and_nothing_is_waited_for() {
        let link = Link::new(&"redis://x".parse().expect("a URL"), Duration::MAX);
        let bus = RedisBus::new(&link, &Streams::new());
        let published = bus.publish(Target::All, RawValue::NULL).await;
        assert_eq!(published, Err(PublishError::Unreachable));
        assert!(bus.awaited.lock().is_empty());
    }

    /// The clock is paused: it is moved on whenever there is nothing else to do.
    #[tokio::test(start_paused = true)]
    async fn while_redis_is_down_the_bus_does_not_dial() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let url = format!("redis://127.0.0.1:{port}").parse().expect("a URL");
        let bus = RedisBus::new(&Link::new(&url, Duration::MAX), &Streams::new());
        tokio::select! {
            never = async { Arc::clone(&bus).listen(bus.subscribe().await).await } => match never {},
            _ = listener.accept() => panic!("it dialled"),
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
    }

    #[test]
    fn a_publication_without_an_answer_is_not_known_to_have_failed() {
        let late = LinkError::Late(Duration::ZERO);
        assert_eq!(PublishError::from(late), PublishError::Unknown);
    }
}
