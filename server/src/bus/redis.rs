//! Notifications over Redis Pub/Sub: what one replica publishes, the streams of all replicas get.
//!
//! Every replica, the sender too, takes what it delivers from the channel, so that all of them
//! deliver in one order. The channel belongs to the whole Redis: databases do not keep servers apart
//! on it. What is published while a replica is not subscribed does not reach it: Pub/Sub keeps
//! nothing. Notifications are kept beside it, in one step with being published, so that a stream that was
//! cut can go on where it was, on any replica.
//!
//! No message may go out on two streams of a session (basic/transports, multiple connections), so
//! that a session has one on all replicas together: the newest. A replica that opens one publishes a
//! takeover. Its stream begins where the takeover comes back over the channel, and there the stream
//! of any other replica ends: each message comes before that or after it, for all of them. Of two
//! that are opened at a time, the one whose takeover is published later stays. A replica that was
//! not subscribed may have missed one: as soon as it is again, it publishes one for each of its
//! streams, and only until that is heard may a message go out twice. Should a newer stream end by
//! that, its client opens it again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Msg, PushInfo, PushKind, cmd, pipe};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::envelope::{Envelope, ReplicaId};
use super::{
    Desk, PublishError, Reach, SessionNews, StreamError, Target, begun, deliver, event, id_of,
    of_answer,
};
use crate::history::{MOST_ENTRIES, Position};
use crate::outbox::{Place, Resumed};
use crate::redis_link::{Backoff, Link, LinkError, PING_PAUSE, Repeat, Request, chain};
use crate::store::{Session, SessionId};
use crate::streams::{EventStream, QUEUE};

const CHANNEL: &str = "squall:notifications";
/// The notifications that were published lately, for streams that were cut: a stream of Redis.
pub(crate) const LOG: &str = "squall:notifications:log";
/// Its one field.
const FIELD: &str = "envelope";
/// Takeovers that are published in one round trip.
const CHUNK: usize = 500;

pub(crate) struct RedisBus {
    link: Arc<Link>,
    desk: Arc<Desk>,
    /// Whether this replica is subscribed.
    hears: AtomicBool,
    published: AtomicU64,
    hasher: RandomState,
    replica: ReplicaId,
    /// What this replica published and waits to hear, with how many streams it reached here.
    awaited: Mutex<HashMap<u64, oneshot::Sender<Heard>>>,
    /// Answers of other replicas that clients of this one go on with.
    tickets: Mutex<HashMap<u64, mpsc::Sender<Bytes>>>,
}

/// How far something of this replica's came, and where it stands among what was published.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    streams: usize,
    at: Option<Position>,
}

/// An answer of another replica's, until it is dropped.
pub(crate) struct Ticket {
    bus: Arc<RedisBus>,
    number: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.bus.tickets.lock().remove(&self.number);
    }
}

/// A connection that hears what is published, for as long as it lives.
pub(crate) struct Subscription {
    connection: MultiplexedConnection,
    lost: CancellationToken,
}

impl RedisBus {
    pub(crate) fn new(link: &Arc<Link>, desk: &Arc<Desk>) -> Arc<Self> {
        let hasher = RandomState::new();
        Arc::new(Self {
            link: Arc::clone(link),
            desk: Arc::clone(desk),
            hears: AtomicBool::new(false),
            published: AtomicU64::new(0),
            replica: ReplicaId(hasher.hash_one("replica")),
            hasher,
            awaited: Mutex::default(),
            tickets: Mutex::default(),
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
        let envelope = Envelope::Notification { id: echo.id, to, message };
        let replicas = self.link.ask(Request::One(&kept(&envelope)), Repeat::Never).await?;
        let heard = if replicas > 0 && self.hears() { echo.heard().await } else { None };
        Ok(Reach { streams: heard.unwrap_or_default().streams, replicas })
    }

    /// Acts on news, and tells the other replicas unless they were this one's business alone.
    pub(crate) async fn spread(
        &self,
        session: SessionId,
        news: &SessionNews,
    ) -> Result<(), PublishError> {
        if self.desk.hear(session, news) {
            return Ok(());
        }
        Ok(self.tell(session, news.clone()).await?)
    }

    /// Tells the other replicas.
    async fn tell(&self, session: SessionId, news: SessionNews) -> Result<(), LinkError> {
        let news = publication(&Envelope::News { session, by: self.replica, news });
        self.link.ask(Request::One(&news), Repeat::Never).await
    }

    /// Opens a session's stream, and has the other replicas end theirs. It is dropped, and so
    /// closed, where the takeover does not get through. What it missed is what was published between the
    /// position that it names and its takeover.
    pub(crate) async fn open(
        &self,
        id: SessionId,
        session: &Session,
        after: Option<Position>,
    ) -> Result<EventStream, StreamError> {
        let echo = Echo::of(self);
        let stream = self.desk.streams.claim(id, echo.id)?;
        if !self.hears() {
            return Err(StreamError::Deaf);
        }
        let takeover = placed(&self.takeover(echo.id, id));
        // Once: a takeover that comes twice could end a stream that was opened in between.
        let replicas: usize = self.link.ask(Request::One(&takeover), Repeat::Never).await?;
        let granted = if replicas > 0 { echo.heard().await } else { None };
        let at = granted.ok_or(StreamError::Deaf)?.at.unwrap_or_default();
        let missed = match after {
            Some(after) => Some(self.between(after, at, id, session).await?),
            None => None,
        };
        Ok(begun(stream, session, missed, at))
    }

    /// What a session's stream would have carried between two positions.
    async fn between(
        &self,
        after: Position,
        until: Position,
        id: SessionId,
        session: &Session,
    ) -> Result<Vec<Bytes>, LinkError> {
        let mut range = cmd("XRANGE");
        range.arg(LOG).arg(format!("({after}")).arg(until.to_string());
        let entries: Vec<(String, HashMap<String, Vec<u8>>)> =
            self.link.ask(Request::One(&range), Repeat::Safe).await?;
        let meant = entries.iter().filter_map(|(position, fields)| {
            let position: Position = position.parse().ok()?;
            match Envelope::read(fields.get(FIELD)?).ok()? {
                Envelope::Notification { to, message, .. }
                    if to.means(id, &session.subscriptions) =>
                {
                    Some(event(message, Some(&id_of(position))))
                }
                _ => None,
            }
        });
        Ok(meant.collect())
    }

    /// Goes on with an answer, here or with what the replica says that has it; `None` if nobody does.
    pub(crate) async fn resume(
        self: &Arc<Self>,
        session: SessionId,
        place: Place,
    ) -> Result<Option<EventStream>, StreamError> {
        if self.desk.outboxes.has(place.stream) {
            return Ok(self.desk.outboxes.resume(session, place).map(of_answer));
        }
        let number = self.next_id();
        let (sender, mut queue) = mpsc::channel(QUEUE);
        self.tickets.lock().insert(number, sender);
        let ticket = Ticket { bus: Arc::clone(self), number };
        let news = SessionNews::Resume { stream: place.stream, after: place.event, ticket: number };
        self.tell(session, news).await?;
        let first = timeout(self.link.deadline(), queue.recv()).await;
        let Ok(Some(first)) = first else { return Ok(None) };
        let stream = EventStream::of_another_replica(queue, ticket);
        Ok(Some(stream.after(vec![first])))
    }

    /// Says an answer of this replica's to the client of another.
    async fn say_to(self: Arc<Self>, session: SessionId, ticket: u64, resumed: Resumed) {
        let Resumed { missed, mut queue } = resumed;
        let text = |event: &Bytes| String::from_utf8_lossy(event).into_owned();
        // A comment first, so that the other replica knows that there is somebody.
        let hello = std::iter::once(": here it goes on\n\n".to_owned());
        let mut events: Vec<_> = hello.chain(missed.iter().map(text)).collect();
        loop {
            let news = SessionNews::Said { ticket, events, is_over: false };
            if self.tell(session, news).await.is_err() {
                return;
            }
            let Some(event) = queue.recv().await else { break };
            events = vec![text(&event)];
        }
        let news = SessionNews::Said { ticket, events: Vec::new(), is_over: true };
        let _ = self.tell(session, news).await; // it was all said
    }

    /// Passes on what another replica says of an answer. A client that is behind loses its stream.
    fn pass_on(&self, ticket: u64, events: Vec<String>, is_over: bool) {
        let mut tickets = self.tickets.lock();
        let Some(client) = tickets.get(&ticket) else { return };
        let is_taken = events.into_iter().all(|event| client.try_send(event.into()).is_ok());
        if is_over || !is_taken {
            tickets.remove(&ticket);
        }
    }

    fn takeover(&self, id: u64, session: SessionId) -> Envelope<'static> {
        Envelope::Takeover { id, session, by: self.replica }
    }

    fn next_id(&self) -> u64 {
        let number = self.published.fetch_add(1, Ordering::Relaxed);
        self.hasher.hash_one(number) // like no other replica's
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
        self.claim_anew().await?;
        self.hears.store(true, Ordering::Relaxed);
        Ok(subscription)
    }

    async fn hear_out(&self, subscription: Subscription) {
        let cause = subscription.end(&self.link).await;
        self.hears.store(false, Ordering::Relaxed);
        self.awaited.lock().clear(); // it does not come any more
        self.link.look();
        tracing::debug!(cause = %chain(&cause), "the subscription to notifications ended");
    }

    /// Takes over the sessions whose streams are here.
    async fn claim_anew(&self) -> Result<(), LinkError> {
        for sessions in self.desk.streams.sessions().chunks(CHUNK) {
            let mut takeovers = pipe();
            for session in sessions {
                let takeover = self.takeover(self.next_id(), *session);
                takeovers.add_command(publication(&takeover)).ignore();
            }
            self.link.ask::<()>(Request::Many(&takeovers), Repeat::Safe).await?;
        }
        Ok(())
    }

    /// Carries out what came over the channel. A stream that takes no more is ended, as ever, so
    /// that this never waits.
    fn hear(self: &Arc<Self>, payload: &[u8]) {
        let (at, envelope) = parts(payload);
        match Envelope::read(envelope) {
            Ok(Envelope::Notification { id, to, message }) => {
                let event = event(message, at.map(id_of).as_deref());
                let streams = deliver(&self.desk.streams, &to, message, event);
                self.echo(id, Heard { streams, at });
            }
            Ok(Envelope::Takeover { id, session, by }) if by == self.replica => {
                let streams = usize::from(self.desk.streams.grant(session, id));
                self.echo(id, Heard { streams, at });
            }
            Ok(Envelope::Takeover { session, .. }) => self.desk.streams.cede(session),
            Ok(Envelope::News { by, .. }) if by == self.replica => {} // it was heard before
            Ok(Envelope::News { session, news, .. }) => self.hear_news(session, news),
            Err(error) => tracing::debug!(%error, "ignored something on the channel"),
        }
    }

    fn hear_news(self: &Arc<Self>, session: SessionId, news: SessionNews) {
        match news {
            SessionNews::Resume { stream, after, ticket } => {
                let place = Place { stream, event: after };
                if let Some(resumed) = self.desk.outboxes.resume(session, place) {
                    tokio::spawn(Arc::clone(self).say_to(session, ticket, resumed));
                }
            }
            SessionNews::Said { ticket, events, is_over } => self.pass_on(ticket, events, is_over),
            news => {
                self.desk.hear(session, &news);
            }
        }
    }

    fn echo(&self, id: u64, heard: Heard) {
        if let Some(echo) = self.awaited.lock().remove(&id) {
            let _ = echo.send(heard); // nobody waits any more
        }
    }
}

/// What is published in one step with keeping it: the position that it has, and the envelope.
fn kept(envelope: &Envelope<'_>) -> Cmd {
    const KEEP: &str = "\
        local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', ARGV[3], ARGV[1]) \
        return redis.call('PUBLISH', ARGV[4], id .. ' ' .. ARGV[1])";
    let mut eval = cmd("EVAL");
    eval.arg(KEEP).arg(1).arg(LOG).arg(envelope.write()).arg(MOST_ENTRIES).arg(FIELD).arg(CHANNEL);
    eval
}

/// What is published with the position of what was kept last.
fn placed(envelope: &Envelope<'_>) -> Cmd {
    const PLACE: &str = "\
        local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1] \
        local id = last and last[1] or '0-0' \
        return redis.call('PUBLISH', ARGV[2], id .. ' ' .. ARGV[1])";
    let mut eval = cmd("EVAL");
    eval.arg(PLACE).arg(1).arg(LOG).arg(envelope.write()).arg(CHANNEL);
    eval
}

/// A payload's position, if it has one, and its envelope.
fn parts(payload: &[u8]) -> (Option<Position>, &[u8]) {
    let space = payload.iter().take(48).position(|byte| *byte == b' ');
    let at = space.and_then(|space| {
        let position = str::from_utf8(&payload[..space]).ok()?.parse().ok()?;
        Some((Some(position), &payload[space + 1..]))
    });
    at.unwrap_or((None, payload))
}

fn publication(envelope: &Envelope<'_>) -> Cmd {
    let mut publish = cmd("PUBLISH");
    publish.arg(CHANNEL).arg(envelope.write());
    publish
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

/// Something that this replica publishes, and waits to hear itself.
struct Echo<'a> {
    bus: &'a RedisBus,
    id: u64,
    heard: oneshot::Receiver<Heard>,
}

impl<'a> Echo<'a> {
    fn of(bus: &'a RedisBus) -> Self {
        let id = bus.next_id();
        let (sender, heard) = oneshot::channel();
        bus.awaited.lock().insert(id, sender);
        Self { bus, id, heard }
    }

    /// How far it came; `None` if it does not come, or not in time.
    async fn heard(mut self) -> Option<Heard> {
        timeout(self.bus.link.deadline(), &mut self.heard).await.ok()?.ok()
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
            LinkError::Refused(_) => Self::Refused(error.reason().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SessionCache;
    use crate::streams::Streams;
    use std::time::Duration;
    use tokio::net::TcpListener;

    const SESSION: SessionId = SessionId::of(7);

    fn desk() -> Arc<Desk> {
        let cache = Arc::new(SessionCache::new(Duration::ZERO, Duration::ZERO));
        Desk::new(&Streams::new(), &cache)
    }

    fn bus() -> Arc<RedisBus> {
        let link = Link::new(&"redis://x".parse().expect("a URL"), Duration::MAX);
        RedisBus::new(&link, &desk())
    }

    #[tokio::test]
    async fn while_redis_is_down_nothing_is_published_and_nothing_is_waited_for() {
        let bus = bus();
        let published = bus.publish(Target::All, RawValue::NULL).await;
        assert_eq!(published, Err(PublishError::Unreachable));
        assert!(bus.awaited.lock().is_empty());
    }

    /// What two replicas make of two streams that are opened at the same time, whose takeovers are
    /// on the channel in that order.
    #[tokio::test]
    async fn of_two_streams_opened_at_a_time_the_one_published_later_stays() {
        let (a, b) = (bus(), bus());
        let _streams = [&a, &b].map(|bus| bus.desk.streams.claim(SESSION, 1).expect("free"));
        for (sender, left) in [(&a, [1, 1]), (&b, [0, 1])] {
            let takeover = sender.takeover(1, SESSION).write();
            for replica in [&a, &b] {
                replica.hear(&takeover);
            }
            assert_eq!([a.desk.streams.count(), b.desk.streams.count()], left);
        }
        let reached = [&a, &b]
            .map(|bus| deliver(&bus.desk.streams, &Target::All, RawValue::NULL, Bytes::new()));
        assert_eq!(reached, [0, 1]);
    }

    #[tokio::test]
    async fn a_takeover_of_a_stream_that_is_gone_does_nothing_to_its_successor() {
        let bus = bus();
        drop(bus.desk.streams.claim(SESSION, 1).expect("free"));
        let _successor = bus.desk.streams.claim(SESSION, 2).expect("free again");
        bus.hear(&bus.takeover(1, SESSION).write());
        assert_eq!(
            deliver(&bus.desk.streams, &Target::All, RawValue::NULL, Bytes::new()),
            0,
            "not its turn yet"
        );
        bus.hear(&bus.takeover(2, SESSION).write());
        bus.hear(&bus.takeover(1, SESSION).write());
        assert_eq!(deliver(&bus.desk.streams, &Target::All, RawValue::NULL, Bytes::new()), 1);
    }

    /// The clock is paused: it is moved on whenever there is nothing else to do.
    #[tokio::test(start_paused = true)]
    async fn while_redis_is_down_the_bus_does_not_dial() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let url = format!("redis://127.0.0.1:{port}").parse().expect("a URL");
        let bus = RedisBus::new(&Link::new(&url, Duration::MAX), &desk());
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
