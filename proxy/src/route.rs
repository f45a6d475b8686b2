//! TCP routes: a listener of their own and an upstream that need not speak HTTP, changed while the proxy
//! runs.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::board::Board;
use crate::config::{BadRoute, TcpRoute};
use crate::connection::Faults;
use crate::delay::Delay;
use crate::link::{Link, Traffic};
use crate::listen::{self, Door};
use crate::record::Recorder;
use crate::socket::Socket;
use crate::upstream::is_reset;

/// How long a connection to an upstream may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is under way between the two sides of a connection, each way, in bytes.
const BUFFER: usize = 64 * 1024;
/// How many routes there may be.
const MOST: usize = 1000;

/// A route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    /// Where clients connect: the port that was taken, also while it is switched off.
    pub(crate) listen: SocketAddr,
    /// `HOST:PORT`.
    pub(crate) upstream: String,
    pub(crate) enabled: bool,
    pub(crate) traffic: Arc<Traffic>,
    /// Ends its listener and its connections.
    stop: CancellationToken,
}

/// All of them, by name.
#[derive(Debug)]
pub(crate) struct Routes {
    list: Mutex<BTreeMap<Arc<str>, Arc<Route>>>,
    house: House,
}

/// What connections of routes need.
#[derive(Clone, Debug)]
pub(crate) struct House {
    pub(crate) board: Arc<Board>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) delay: Delay,
}

/// What is to be changed about a route.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteEdit {
    pub(crate) listen: Option<String>,
    pub(crate) upstream: Option<String>,
    pub(crate) enabled: Option<bool>,
}

/// Why a route could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("there is a route `{0}` already; remove it first, or choose another name")]
    Exists(Arc<str>),
    #[error("there is no route `{0}`")]
    Unknown(String),
    #[error("there are {MOST} routes already; remove some first")]
    Full,
    #[error(transparent)]
    Bad(#[from] BadRoute),
    #[error("cannot listen on {address}: {error}")]
    Listen { address: String, error: io::Error },
}

/// Binds the address of a route, whose host may be a name, or missing.
pub(crate) fn bind(address: &str) -> Result<(TcpListener, SocketAddr), RouteError> {
    let error = |error| RouteError::Listen { address: address.to_owned(), error };
    let full = if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.into() };
    let mut found = full.to_socket_addrs().map_err(error)?;
    let found = found.next().ok_or_else(|| error(io::ErrorKind::AddrNotAvailable.into()))?;
    let mut listeners = listen::bind(found, 1).map_err(error)?;
    let listener = listeners.swap_remove(0);
    let address = listener.local_addr().map_err(error)?;
    Ok((listener, address))
}

impl Routes {
    pub(crate) fn new(house: House) -> Self {
        Self { list: Mutex::default(), house }
    }

    /// All routes, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Route>> {
        self.list.lock().values().cloned().collect()
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<Route>, RouteError> {
        self.list.lock().get(name).cloned().ok_or_else(|| RouteError::Unknown(name.to_owned()))
    }

    /// Takes a route whose listener was bound before.
    pub(crate) fn take_over(&self, route: &TcpRoute, listener: TcpListener, listen: SocketAddr) {
        let mut list = self.list.lock();
        let listener = Some(listener).filter(|_| route.enabled());
        let route = self.open(route.name(), listen, route.upstream(), listener, Arc::default());
        list.insert(route.name.clone(), route);
    }

    /// Makes a route. It listens from now on, unless it is switched off.
    pub(crate) fn add(&self, route: &TcpRoute) -> Result<Arc<Route>, RouteError> {
        let mut list = self.list.lock();
        if list.contains_key(route.name()) {
            return Err(RouteError::Exists(route.name().into()));
        }
        if list.len() >= MOST {
            return Err(RouteError::Full);
        }
        let (listener, listen) = bind(route.listen())?;
        let listener = Some(listener).filter(|_| route.enabled());
        let route = self.open(route.name(), listen, route.upstream(), listener, Arc::default());
        list.insert(route.name.clone(), route.clone());
        Ok(route)
    }

    /// Changes a route. What it carries ends, unless nothing is different.
    pub(crate) fn change(&self, name: &str, edit: &RouteEdit) -> Result<Arc<Route>, RouteError> {
        let mut list = self.list.lock();
        let old = list.get(name).ok_or_else(|| RouteError::Unknown(name.to_owned()))?.clone();
        let listen = edit.listen.clone().unwrap_or_else(|| old.listen.to_string());
        let upstream = edit.upstream.clone().unwrap_or_else(|| old.upstream.clone());
        let enabled = edit.enabled.unwrap_or(old.enabled);
        let is_elsewhere = is_other_address(&listen, old.listen);
        let wanted = TcpRoute::new(name, &listen, &upstream, enabled)?;
        if !is_elsewhere && upstream == old.upstream && enabled == old.enabled {
            return Ok(old);
        }
        // The port may be the same one, which the old listener has to leave first.
        let bound = if is_elsewhere { Some(bind(wanted.listen())?) } else { None };
        old.stop.cancel();
        let (listener, address) = match (bound, enabled) {
            (Some((listener, address)), true) => (Some(listener), address),
            (Some((_, address)), false) => (None, address),
            (None, true) => (Some(rebind(old.listen)?), old.listen),
            (None, false) => (None, old.listen),
        };
        let route = self.open(name, address, &upstream, listener, old.traffic.clone());
        list.insert(route.name.clone(), route.clone());
        Ok(route)
    }

    /// Ends a route, and all that it carries.
    pub(crate) fn remove(&self, name: &str) -> Result<Arc<Route>, RouteError> {
        let removed = self.list.lock().remove(name);
        let route = removed.ok_or_else(|| RouteError::Unknown(name.to_owned()))?;
        route.stop.cancel();
        Ok(route)
    }

    fn open(
        &self,
        name: &str,
        listen: SocketAddr,
        upstream: &str,
        listener: Option<TcpListener>,
        traffic: Arc<Traffic>,
    ) -> Arc<Route> {
        let route = Arc::new(Route {
            name: name.into(),
            listen,
            upstream: upstream.to_owned(),
            enabled: listener.is_some(),
            traffic,
            stop: CancellationToken::new(),
        });
        if let Some(listener) = listener {
            tokio::spawn(serve(route.clone(), listener, self.house.clone()));
        }
        route
    }
}

/// The address that was just left. Its sockets may linger, but nobody listens.
fn rebind(address: SocketAddr) -> Result<TcpListener, RouteError> {
    let listener = listen::bind_shared(address);
    listener.map_err(|error| RouteError::Listen { address: address.to_string(), error })
}

fn is_other_address(wanted: &str, is: SocketAddr) -> bool {
    wanted != is.to_string()
        && !wanted.to_socket_addrs().is_ok_and(|mut found| found.any(|address| address == is))
}

async fn serve(route: Arc<Route>, listener: TcpListener, house: House) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(route = %route.name, %error, "it cannot be served"),
    };
    let mut door = Door {
        listener: Some(listener),
        board: house.board.clone(),
        recorder: house.recorder.clone(),
        route: route.name.clone(),
    };
    loop {
        tokio::select! {
            stream = door.accept() => {
                tokio::spawn(carry(stream, route.clone(), house.clone()));
            }
            () = route.stop.cancelled() => return,
        }
    }
}

/// Carries one connection until it ends, or its route does.
async fn carry(stream: TcpStream, route: Arc<Route>, house: House) {
    // Without it, small messages wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let link = Arc::new(Link::counting(route.traffic.clone()));
    let socket = Socket::new(stream, link.clone(), house.delay.clone());
    let relay = pin!(relay(socket, &route.upstream, &link));
    let faults = Faults {
        board: &house.board,
        recorder: &house.recorder,
        delay: &house.delay,
        route: &route.name,
    };
    tokio::select! {
        _ = faults.act_on(&link, relay) => {}
        () = route.stop.cancelled() => {}
    }
}

/// Passes on what both sides say, half closes and resets included.
async fn relay(mut client: Socket, upstream: &str, link: &Link) {
    let connect = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(upstream));
    let mut server = match connect.await {
        Ok(Ok(server)) => server,
        failed => {
            tracing::debug!(upstream, ?failed, "the upstream of a route cannot be reached");
            return link.reset();
        }
    };
    let _ = server.set_nodelay(true);
    let copied = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER);
    if let Err(error) = copied.await
        && is_reset(&error)
    {
        link.reset();
        let _ = server.set_zero_linger();
    }
}
