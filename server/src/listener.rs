//! The server's life: accept connections, keep house, and end in order.

mod patience;

use std::convert::Infallible;
use std::fs::OpenOptions;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::DropGuard;

use crate::bus::Bus;
use crate::config::Config;
use crate::journal::Bounded;
use crate::server::{Server, permits};
use crate::store::SessionId;
use crate::transport::{self, Reply};
use patience::Patience;

/// Bytes of a request's head, and of the buffer it is read into.
const MAX_HEAD: usize = 64 * 1024;
/// Connections to the admin listener at a time.
const ADMIN_CONNECTIONS: usize = 64;
/// Connections that wait to be accepted, of each listener.
const BACKLOG: i32 = 4096;
/// A pause after an accept that failed for want of something, such as descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Housekeeping is never more frequent, whatever the configuration says.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// How long aborted tasks may take to notice.
const ABORT_DEADLINE: Duration = Duration::from_secs(2);

/// A server that could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The listener is unusable.
    #[error("the listener has no local address: a bound TCP listener was expected")]
    Listener(#[source] io::Error),
    /// A thread that serves could not be.
    #[error("a thread of the server could not run")]
    Thread(#[source] io::Error),
    /// The journal is unusable.
    #[error("the journal {0} cannot be written: name a file in a folder that is there")]
    Journal(PathBuf, #[source] io::Error),
    /// The admin listener is open to others.
    #[error(
        "the admin listener is on {0}, which others reach: session ids stand in its journals, so that a \
         loopback address was expected"
    )]
    AdminOpen(SocketAddr),
}

/// Serves MCP on `listener` until `shutdown` resolves.
///
/// Then its readiness goes, and, after [`Config::drain_delay`], it ends the open streams, refuses what is
/// new with 503, and lets calls in flight finish within [`Config::grace`]; what is still in flight after
/// that is dropped, and the port closed. Failures to accept (too many open files, say) are waited out.
/// Dropping the future drops the connections.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    run_with_admin(listener, None, config, shutdown).await
}

/// The same, with another listener for `/journal/executions`, `/journal/publications` and `/metrics`. It
/// has to be on loopback.
pub async fn run_with_admin(
    listener: TcpListener,
    admin: Option<TcpListener>,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let address = listener.local_addr().map_err(RunError::Listener)?;
    let (server, _guards) = begin(admin, config).await?;
    tracing::debug!(%address, id = server.config.id, "serving");
    tokio::select! {
        never = accept_clients(&server, &listener) => match never {},
        () = serve_until(&server, shutdown) => Ok(()),
    }
}

/// The same on several listeners of one address ([`bind`]), each with a thread and a runtime of its own:
/// connections do not move between them.
pub async fn run_on_threads(
    listeners: Vec<std::net::TcpListener>,
    admin: Option<TcpListener>,
    config: Config,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let (server, _guards) = begin(admin, config).await?;
    let mut threads = Vec::new();
    for (number, listener) in listeners.into_iter().enumerate() {
        let server = Arc::clone(&server);
        let name = format!("server-{number}");
        let work = move || serve_alone(&server, listener);
        let thread = std::thread::Builder::new().name(name).spawn(work);
        threads.push(thread.map_err(RunError::Thread)?);
    }
    serve_until(&server, shutdown).await;
    for thread in threads {
        if let Ok(Err(error)) = thread.join() {
            return Err(RunError::Thread(error));
        }
    }
    Ok(())
}

/// Serves what comes in by one listener, until all is over.
fn serve_alone(server: &Arc<Server>, listener: std::net::TcpListener) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        tokio::select! {
            never = accept_clients(server, &listener) => match never {},
            () = server.close.cancelled() => Ok(()),
        }
    })
}

/// A server whose upkeep runs, and what stops all of it on drop.
async fn begin(
    admin: Option<TcpListener>,
    config: Config,
) -> Result<(Arc<Server>, [DropGuard; 3]), RunError> {
    let open = |path| open_journal(path, config.journal_limit);
    let journal = config.journal.as_deref().map(open).transpose()?;
    let server = Server::new(config, journal);
    if let Some(admin) = admin {
        let address = admin.local_addr().map_err(RunError::Listener)?;
        if !address.ip().is_loopback() {
            return Err(RunError::AdminOpen(address));
        }
        let owner = Arc::clone(&server);
        let places = permits(ADMIN_CONNECTIONS);
        let serving = async move { accept(&owner, &admin, &places, transport::serve_admin).await };
        tokio::spawn(server.close.clone().run_until_cancelled_owned(serving));
    }
    let guards = [&server.stop, &server.abort, &server.close];
    let guards = guards.map(|token| token.clone().drop_guard());
    server.tasks.spawn(sweep(Arc::clone(&server)));
    server.tasks.spawn(beat(Arc::clone(&server)));
    link_up(&server).await;
    Ok((server, guards))
}

/// Binds so many listeners to one address, so that the kernel spreads connections over them
/// (`SO_REUSEPORT`). An address that anybody listens on already is refused.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let probe = listener(address, false)?;
    let address = probe.local_addr()?;
    drop(probe);
    (0..count.max(1)).map(|_| listener(address, true)).collect()
}

fn listener(address: SocketAddr, is_shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Tries to reach Redis, if the server needs one, and has it kept in reach. Requests are taken after
/// the first attempt, whatever it came to.
async fn link_up(server: &Arc<Server>) {
    let (Some(link), Bus::Redis(bus)) = (&server.link, &server.bus) else {
        return;
    };
    let (link, bus) = (Arc::clone(link), Arc::clone(bus));
    link.open().await;
    let first = bus.subscribe().await;
    let stop = &server.stop;
    server.tasks.spawn(stop.clone().run_until_cancelled_owned(async move { link.keep().await }));
    server.tasks.spawn(stop.clone().run_until_cancelled_owned(bus.listen(first)));
    server.tasks.spawn(watch(Arc::clone(server)));
}

fn open_journal(path: &Path, limit: u64) -> Result<Bounded, RunError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.and_then(|file| Bounded::new(file, limit));
    file.map_err(|error| RunError::Journal(path.to_owned(), error))
}

async fn accept_clients(server: &Arc<Server>, listener: &TcpListener) -> Infallible {
    accept(server, listener, &server.places, transport::serve).await
}

/// Accepts connections while there are places, and has each request of theirs served so.
async fn accept<S, F>(
    server: &Arc<Server>,
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    serve: S,
) -> Infallible
where
    S: Fn(Arc<Server>, Request<Incoming>) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Infallible>> + Send + 'static,
{
    let mut failing = false;
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            return std::future::pending().await; // the semaphore is never closed
        };
        match listener.accept().await {
            Ok((socket, _)) => {
                failing = false;
                let served = connection(Arc::clone(server), socket, place, serve);
                if server.stop.is_cancelled() {
                    // What is refused anyway is not waited for.
                    tokio::spawn(server.close.clone().run_until_cancelled_owned(served));
                } else {
                    server.tasks.spawn(served);
                }
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "cannot accept connections, trying on");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn connection<S, F>(
    server: Arc<Server>,
    socket: TcpStream,
    _place: OwnedSemaphorePermit,
    serve: S,
) where
    S: Fn(Arc<Server>, Request<Incoming>) -> F,
    F: Future<Output = Result<Reply, Infallible>>,
{
    let _ = socket.set_nodelay(true); // the peer may be gone by now, which the next read tells
    let io = TokioIo::new(Patience::new(socket, server.config.write_deadline));
    let service = service_fn(|request| serve(Arc::clone(&server), request));
    let stopping = server.stop.is_cancelled();
    let connection = http1::Builder::new()
        .keep_alive(!stopping)
        .timer(TokioTimer::new())
        .header_read_timeout(server.config.head_deadline)
        .max_buf_size(MAX_HEAD)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = server.stop.cancelled(), if !stopping => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = server.abort.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Forgets idle sessions, and ends what hangs on them.
async fn sweep(server: Arc<Server>) {
    let pause = (server.config.session_ttl / 4).min(Duration::from_secs(60));
    let mut ticks = ticks(pause);
    while is_time(&server, &mut ticks).await {
        let gone = server.store.sweep();
        server.desk.outboxes.sweep();
        server.stats.sessions_closed.add(gone.len());
        close(&server, &gone);
    }
}

/// Keeps streams and their sessions alive; a stream whose session is gone ends.
async fn beat(server: Arc<Server>) {
    let mut ticks = ticks(server.config.heartbeat);
    while is_time(&server, &mut ticks).await {
        let sessions = server.streams.beat();
        match server.store.keep(&sessions).await {
            Ok(gone) => close(&server, &gone),
            Err(error) => tracing::debug!(%error, "cannot keep the sessions of open streams alive"),
        }
    }
}

/// Ends the streams of sessions that ended elsewhere: on another replica, or in the store itself.
async fn watch(server: Arc<Server>) {
    let mut ticks = ticks(server.config.session_watch);
    while is_time(&server, &mut ticks).await {
        match server.store.missing(&server.streams.sessions()).await {
            Ok(gone) => close(&server, &gone),
            Err(error) => tracing::debug!(%error, "cannot look after the sessions of open streams"),
        }
    }
}

fn close(server: &Server, sessions: &[SessionId]) {
    for session in sessions {
        server.streams.close(*session);
    }
}

fn ticks(pause: Duration) -> Interval {
    let pause = pause.max(SHORTEST_PAUSE);
    let mut ticks = interval_at(Instant::now() + pause, pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for the next tick; false when the server stops first.
async fn is_time(server: &Server, ticks: &mut Interval) -> bool {
    tokio::select! {
        _ = ticks.tick() => true,
        () = server.stop.cancelled() => false,
    }
}

/// Waits until the server is to end, and has it end in order: readiness first, the port last.
async fn serve_until(server: &Server, shutdown: impl Future<Output = ()>) {
    shutdown.await;
    server.drain.cancel();
    tokio::time::sleep(server.config.drain_delay).await;
    server.stop.cancel();
    server.streams.close_all();
    server.tasks.close();
    if timeout(server.config.grace, server.tasks.wait()).await.is_err() {
        tracing::warn!("calls are still in flight after the grace period: dropping them");
        server.abort.cancel();
        let _ = timeout(ABORT_DEADLINE, server.tasks.wait()).await;
    }
    server.close.cancel();
}
