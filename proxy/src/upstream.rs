//! The replicas behind the proxy: choosing one, connecting to it, and saying why it failed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderValue, StatusCode};
use parking_lot::Mutex;
use squall_model::verdict::Reroute;
use tokio::time::Instant;

use crate::config::{HostHeader, UpstreamAddress, UpstreamPolicy};
use crate::halves::Answer;
use crate::link::Link;
use crate::plain;
use crate::stream::{Body, Incoming};
use crate::tls::TlsError;

mod dial;
mod outgoing;

use dial::{Dialer, HyperSender, Sender};

pub(crate) use dial::{CONNECTION_WINDOW, STREAM_WINDOW};
pub(crate) use outgoing::Outgoing;

/// How long an upstream that could not be reached is passed over.
const PASS_OVER: Duration = Duration::from_millis(250);

/// All upstreams of a proxy, shared by its threads.
#[derive(Debug)]
pub(crate) struct Upstreams {
    list: Vec<Upstream>,
    dialer: Dialer,
    turn: AtomicUsize,
    start: Instant,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: UpstreamAddress,
    /// `HOST:PORT`, as faults match it.
    authority: Arc<str>,
    /// What `Host` says of it, if it can be said.
    name: Option<HeaderValue>,
    /// Whether it is called by that, whatever the client says.
    is_named: bool,
    /// Until when it is passed over: milliseconds since the proxy's start.
    down_until: AtomicU64,
    /// Whether it gets nothing new: its own sessions go on.
    draining: AtomicBool,
}

/// Why an upstream gave no answer. The text is what clients see in `x-squall-upstream-error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// No replica could be reached: the request was certainly not executed.
    #[error("refused")]
    Refused,
    /// As above, but without an answer to the attempt.
    #[error("connect-timeout")]
    ConnectTimeout,
    /// The connection broke after the request began to go out.
    #[error("reset")]
    Reset,
    /// The upstream closed the connection instead of answering.
    #[error("closed")]
    Closed,
    /// It answered with something that is not HTTP.
    #[error("invalid-response")]
    Invalid,
    /// TLS could not be agreed on: the request was certainly not executed.
    #[error("tls")]
    Tls,
}

/// The connections to upstreams of one downstream connection that requests may go out on: idle ones,
/// and such as can be shared.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    open: Mutex<Vec<(usize, Sender)>>,
    /// Held while a connection is made that others may share.
    dialling: tokio::sync::Mutex<()>,
}

impl Upstreams {
    /// Reads what is needed to speak to them. Fails where that cannot be had.
    pub(crate) fn new(
        addresses: Vec<UpstreamAddress>,
        policy: &UpstreamPolicy,
    ) -> Result<Self, TlsError> {
        let dialer = Dialer::new(&addresses, policy)?;
        let upstream = |address: UpstreamAddress| Upstream {
            authority: address.authority().into(),
            name: HeaderValue::from_str(&address.name()).ok(),
            is_named: match policy.host {
                HostHeader::Auto => address.is_tls(),
                HostHeader::Client => false,
                HostHeader::Upstream => true,
            },
            address,
            down_until: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        };
        let list = addresses.into_iter().map(upstream).collect();
        Ok(Self { list, dialer, turn: AtomicUsize::new(0), start: Instant::now() })
    }

    /// Whether all of them can be spoken to plainly.
    pub(crate) fn are_plain(&self) -> bool {
        self.list.iter().all(|upstream| self.dialer.is_plain(&upstream.address))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The upstream of this number.
    pub(crate) fn get(&self, number: usize) -> Option<&Upstream> {
        self.list.get(number)
    }

    /// All of them, in the order of their numbers, and whether each is passed over now.
    pub(crate) fn health(&self) -> impl Iterator<Item = (&Upstream, bool)> {
        self.list.iter().map(|upstream| (upstream, self.is_down(upstream)))
    }

    /// The upstream to try first: the session's home, or the next in turn that takes new ones.
    pub(crate) fn first(&self, home: Option<usize>) -> usize {
        if let Some(home) = home
            && self.list.get(home).is_some_and(|upstream| !self.is_down(upstream))
        {
            return home;
        }
        let turn = || self.turn.fetch_add(1, Ordering::Relaxed) % self.list.len().max(1);
        let first = home.unwrap_or_else(turn);
        if self.list.get(first).is_some_and(|upstream| self.takes_new(upstream)) {
            return first;
        }
        self.candidates(first).first().copied().unwrap_or_default()
    }

    /// Lets an upstream get nothing new, or takes that back. Its own sessions go on.
    pub(crate) fn drain(&self, number: usize, draining: bool) -> Option<&Upstream> {
        let upstream = self.list.get(number)?;
        upstream.draining.store(draining, Ordering::Relaxed);
        Some(upstream)
    }

    /// `HOST:PORT` of the upstream of this number.
    pub(crate) fn authority(&self, number: usize) -> Option<Arc<str>> {
        self.list.get(number).map(|upstream| upstream.authority.clone())
    }

    /// An upstream that fits and is not this one, one that can be reached first.
    pub(crate) fn other(&self, than: usize, to: &Reroute) -> Option<usize> {
        let fits = |number: &usize| match to {
            Reroute::Other => true,
            Reroute::To(glob) => glob.matches(&self.list[*number].authority),
        };
        let others = self.candidates(than + 1).into_iter().filter(|number| *number != than);
        others.into_iter().find(fits)
    }

    /// Sends the request to the upstream of this number; and to another one as long as not a byte of
    /// it has gone out.
    pub(crate) async fn send(
        &self,
        link: &Arc<Link>,
        first: usize,
        mut request: Outgoing<'_>,
    ) -> Result<(usize, Answer<Incoming>), UpstreamError> {
        request.settle();
        let host = request.host();
        let is_up = self.list.get(first).is_some_and(|upstream| !self.is_down(upstream));
        if !is_up {
            let unsent = (UpstreamError::Refused, request);
            return Box::pin(self.send_elsewhere(link, first, host, unsent, None)).await;
        }
        match self.send_to(link, first, host.as_ref(), request).await {
            Ok(response) => Ok((first, response)),
            Err(Attempt::Failed(error)) => Err(error),
            Err(Attempt::Unsent(error, unsent)) => {
                let unsent = (error, unsent);
                Box::pin(self.send_elsewhere(link, first, host, unsent, Some(first))).await
            }
        }
    }

    /// Goes through the upstreams from `first` on, but for the one that was tried.
    async fn send_elsewhere(
        &self,
        link: &Arc<Link>,
        first: usize,
        host: Option<HeaderValue>,
        (mut failure, mut request): (UpstreamError, Outgoing<'_>),
        tried: Option<usize>,
    ) -> Result<(usize, Answer<Incoming>), UpstreamError> {
        for number in self.candidates(first).into_iter().filter(|number| Some(*number) != tried) {
            match self.send_to(link, number, host.as_ref(), request).await {
                Ok(response) => return Ok((number, response)),
                Err(Attempt::Failed(error)) => return Err(error),
                Err(Attempt::Unsent(error, unsent)) => {
                    failure = error;
                    request = unsent;
                }
            }
        }
        Body::Held(request.body).discard().await;
        Err(failure)
    }

    /// The upstreams to try: from `first` on in a ring, those that take nothing new at the end.
    fn candidates(&self, first: usize) -> Vec<usize> {
        let count = self.list.len();
        let ring = (0..count).map(|step| (first + step) % count);
        let (good, last): (Vec<_>, Vec<_>) = ring.partition(|n| self.takes_new(&self.list[*n]));
        let (draining, down): (Vec<_>, Vec<_>) =
            last.into_iter().partition(|n| !self.is_down(&self.list[*n]));
        good.into_iter().chain(draining).chain(down).collect()
    }

    async fn send_to<'e>(
        &self,
        link: &Arc<Link>,
        number: usize,
        host: Option<&HeaderValue>,
        mut request: Outgoing<'e>,
    ) -> Result<Answer<Incoming>, Attempt<'e>> {
        let upstream = &self.list[number];
        upstream.call(host, &mut request);
        // What came the short way goes on by it, unless something of it is still to come.
        let is_plain = request.raw().is_some() && request.body.here().is_some();
        if let Some(sender) = link.pool.take(number, is_plain).await {
            match exchange((link, number), sender, request).await {
                // The idle connection was stale: a new one is no second attempt.
                Err(Attempt::Unsent(_, unsent)) => request = unsent,
                outcome => return outcome,
            }
        }
        // It is large, and rare.
        match Box::pin(self.dial(&link.pool, number, is_plain)).await {
            Ok(sender) => exchange((link, number), sender, request).await,
            Err(error) => Err(Attempt::Unsent(error, request)),
        }
    }

    /// A new connection; or one that can be shared and was made just now.
    async fn dial(
        &self,
        pool: &Pool,
        number: usize,
        is_plain: bool,
    ) -> Result<Sender, UpstreamError> {
        let upstream = &self.list[number];
        let may_share = self.dialer.may_share(&upstream.address);
        let turn = if may_share { Some(pool.dialling.lock().await) } else { None };
        if turn.is_some()
            && let Some(sender) = pool.take(number, is_plain).await
        {
            return Ok(sender);
        }
        match self.dialer.dial(&upstream.address, is_plain).await {
            Ok(sender) => {
                upstream.down_until.store(0, Ordering::Relaxed);
                if let Some(shared) = sender.share() {
                    pool.open.lock().push((number, shared));
                }
                Ok(sender)
            }
            Err(error) => {
                let until = self.start.elapsed() + PASS_OVER;
                upstream.down_until.store(until.as_millis() as u64, Ordering::Relaxed);
                tracing::debug!(upstream = %upstream.address, %error, "passed over for a while");
                Err(error)
            }
        }
    }

    fn takes_new(&self, upstream: &Upstream) -> bool {
        !upstream.is_draining() && !self.is_down(upstream)
    }

    fn is_down(&self, upstream: &Upstream) -> bool {
        let until = upstream.down_until.load(Ordering::Relaxed);
        until > 0 && until > self.start.elapsed().as_millis() as u64
    }
}

/// An attempt that gave no answer.
#[derive(Debug)]
enum Attempt<'e> {
    /// Not a byte went out: it may go elsewhere.
    Unsent(UpstreamError, Outgoing<'e>),
    /// It may have been executed.
    Failed(UpstreamError),
}

impl Upstream {
    /// Whether it gets nothing new.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Calls it by the name that the client said, or its own. A request that has none gets its own, as
    /// HTTP/1.0 allows none and HTTP/1.1 does not.
    fn call(&self, said: Option<&HeaderValue>, request: &mut Outgoing<'_>) {
        let name = said.filter(|_| !self.is_named).or(self.name.as_ref());
        if let Some(name) = name
            && !request.calls(name)
        {
            request.headers_mut().insert(HOST, name.clone());
        }
    }
}

impl Pool {
    /// Takes back a connection that can be used again.
    pub(crate) fn keep(&self, number: usize, sender: plain::Sender) {
        self.open.lock().push((number, Sender::Plain(sender)));
    }

    async fn take(&self, number: usize, is_plain: bool) -> Option<Sender> {
        let mut sender = {
            let mut open = self.open.lock();
            let fits =
                |(of, sender): &(usize, Sender)| *of == number && sender.is_plain() == is_plain;
            let place = open.iter().position(fits)?;
            match open[place].1.share().filter(|sender| !sender.is_closed()) {
                Some(shared) => shared,
                None => open.swap_remove(place).1,
            }
        };
        if sender.is_closed() || !sender.ready().await { None } else { Some(sender) }
    }
}

/// Makes a request on a connection, which goes back to the link for the next one.
async fn exchange<'e>(
    home: Home<'_>,
    sender: Sender,
    request: Outgoing<'e>,
) -> Result<Answer<Incoming>, Attempt<'e>> {
    match sender {
        Sender::Plain(sender) => exchange_plainly(home, sender, request).await,
        Sender::Hyper(sender) => Box::pin(exchange_by_hyper(home, sender, request)).await,
    }
}

/// The link that a connection belongs to, and the number of its upstream.
type Home<'a> = (&'a Arc<Link>, usize);

async fn exchange_plainly<'e>(
    (link, number): Home<'_>,
    sender: plain::Sender,
    request: Outgoing<'e>,
) -> Result<Answer<Incoming>, Attempt<'e>> {
    let prepared = sender.prepare(&request, request.body.here().unwrap_or_default());
    match prepared.send(link, number).await {
        Ok(answer) => Ok(answer.with(Incoming::Plain)),
        Err(plain::Failure::Unsent) => Err(Attempt::Unsent(UpstreamError::Closed, request)),
        Err(plain::Failure::Failed(error)) => Err(Attempt::Failed(error)),
    }
}

async fn exchange_by_hyper<'e>(
    (link, number): Home<'_>,
    mut sender: HyperSender,
    request: Outgoing<'e>,
) -> Result<Answer<Incoming>, Attempt<'e>> {
    let exchange = request.exchange();
    match sender.send(request.into_request()).await {
        // Nobody asked for another protocol.
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            Err(Attempt::Failed(UpstreamError::Invalid))
        }
        Ok(response) => {
            if matches!(sender, HyperSender::Http1(_)) {
                link.pool.open.lock().push((number, Sender::Hyper(sender)));
            }
            Ok(response.into())
        }
        Err(mut error) => match error.take_message() {
            Some(request) => {
                Err(Attempt::Unsent(UpstreamError::Closed, Outgoing::back(exchange, request)))
            }
            None => Err(Attempt::Failed(UpstreamError::of(error.error()))),
        },
    }
}

impl UpstreamError {
    fn of(error: &hyper::Error) -> Self {
        if is_reset(error) {
            Self::Reset
        } else if error.is_parse() {
            Self::Invalid
        } else {
            Self::Closed
        }
    }
}

/// Whether a TCP RST, or that of an HTTP/2 stream, lies at the bottom of the error.
pub(crate) fn is_reset(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<h2::Error>().is_some_and(h2::Error::is_reset) {
            return true;
        }
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstreams(count: u16) -> Upstreams {
        let address = |port| format!("http://127.0.0.1:{}", port + 1).parse().expect("an address");
        let addresses = (0..count).map(address).collect();
        Upstreams::new(addresses, &UpstreamPolicy::default()).expect("no TLS")
    }

    #[test]
    fn the_home_comes_first_and_those_that_are_down_last() {
        let upstreams = upstreams(3);
        assert_eq!(upstreams.candidates(1), [1, 2, 0]);
        upstreams.list[1].down_until.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(upstreams.candidates(1), [2, 0, 1]);
    }

    #[test]
    fn an_upstream_that_drains_keeps_its_own_sessions_and_gets_nothing_new() {
        let upstreams = upstreams(3);
        upstreams.drain(1, true).expect("there are three");
        let turns: Vec<_> = (0..6).map(|_| upstreams.first(None)).collect();
        assert!(!turns.contains(&1), "{turns:?}");
        assert_eq!(upstreams.first(Some(1)), 1);
        upstreams.drain(1, false).expect("there are three");
        assert_eq!(upstreams.candidates(1), [1, 2, 0]);
        for number in 0..3 {
            upstreams.drain(number, true).expect("there are three");
        }
        assert_eq!(upstreams.candidates(0).len(), 3, "where all drain, somebody has to answer");
    }

    #[test]
    fn another_upstream_is_never_the_same_one() {
        let three = upstreams(3);
        assert_eq!(three.other(1, &Reroute::Other), Some(2));
        assert_eq!(three.other(1, &Reroute::To("*:1".to_owned().into())), Some(0));
        assert_eq!(three.other(0, &Reroute::To("*:1".to_owned().into())), None);
        assert_eq!(upstreams(1).other(0, &Reroute::Other), None);
    }
}
