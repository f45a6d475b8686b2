//! The proxy as a whole: bound first, so that every error comes before any traffic; then run.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use squall_model::fault::FaultId;
use squall_model::scope::MCP_ROUTE;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin};
use crate::board::Board;
use crate::config::{AdminConfig, Config, Limits, TcpRoute};
use crate::connection;
use crate::delay::Delay;
use crate::event_ids::EventIds;
use crate::ledger::Ledger;
use crate::link::Traffic;
use crate::listen::{self, Door};
use crate::proxying::Proxying;
use crate::record::Recorder;
use crate::reload::Reloader;
use crate::route::{self, House, RouteError, Routes};
use crate::state;
use crate::tls::{self, TlsError};
use crate::upstream::Upstreams;

/// A proxy that has its sockets, and may run.
pub struct Proxy {
    listeners: Vec<TcpListener>,
    address: Option<SocketAddr>,
    routes: Vec<(TcpRoute, TcpListener, SocketAddr)>,
    admin: Option<(TcpListener, SocketAddr, AdminConfig)>,
    state: Option<PathBuf>,
    file: Option<Reloader>,
    shared: Shared,
}

/// What all threads share.
#[derive(Clone)]
struct Shared {
    board: Arc<Board>,
    ledger: Arc<Ledger>,
    upstreams: Arc<Upstreams>,
    recorder: Arc<Recorder>,
    event_ids: Arc<EventIds>,
    traffic: Arc<Traffic>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
}

/// Why a proxy could not begin.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A TCP route could not be made.
    #[error("route `{0}`: {1}")]
    Route(String, String),
    /// A socket could not be had.
    #[error("cannot listen on {address} ({purpose}): {}", reason(.source))]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What it was for.
        purpose: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The admin API would be open to the network.
    #[error(
        "the admin API on {0} would be open to everybody: give it a token with --admin-token, listen on loopback, or say --admin-open"
    )]
    OpenAdmin(SocketAddr),
    /// The injections could not be written down.
    #[error("cannot write the history {}: {}", .path.display(), reason(.source))]
    History {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was kept of the faults cannot be used.
    #[error("the state file {}: {why}", .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There are too many faults.
    #[error("{0}")]
    Faults(String),
    /// TLS cannot be spoken as it was asked for.
    #[error("TLS {side}: {source}")]
    Tls {
        /// With whom.
        side: &'static str,
        /// What is missing.
        source: Box<TlsError>,
    },
    /// Two faults have one name.
    #[error("two faults are named `{0}`; ids are unique")]
    TwoFaults(FaultId),
}

/// The system's reason in words, with the advice that people need most often.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use; choose another one".to_owned(),
        _ => error.to_string(),
    }
}

/// Why a running proxy ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A thread could not be started, or could not make its runtime.
    #[error("a proxy thread could not start")]
    Thread(#[source] io::Error),
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Takes all sockets and files that the proxy needs.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        let tls_error = |side| move |error| BindError::Tls { side, source: Box::new(error) };
        let tls = config.tls.as_ref().map(tls::acceptor).transpose();
        let tls = tls.map_err(tls_error("with clients"))?;
        let upstreams = Upstreams::new(config.upstreams, &config.policy);
        let upstreams = upstreams.map_err(tls_error("with upstreams"))?;
        let listen_error =
            |purpose, address| move |source| BindError::Listen { address, purpose, source };
        let count = if upstreams.is_empty() { 0 } else { config.threads.max(1) };
        let listeners = match count {
            0 => Vec::new(),
            _ => {
                listen::bind(config.listen, count).map_err(listen_error("proxy", config.listen))?
            }
        };
        let address = listeners.first().map(TcpListener::local_addr).transpose();
        let address = address.map_err(listen_error("proxy", config.listen))?;
        let routes = bind_routes(&config.tcp)?;
        let admin = config.admin.map(bind_admin).transpose()?;
        let recorder = Recorder::open(config.history.as_deref()).map_err(|source| {
            BindError::History { path: config.history.unwrap_or_default(), source }
        })?;
        let board = Board::new(config.seed);
        if let Some(path) = &config.state {
            state::restore(path, &board)
                .map_err(|error| BindError::State { path: path.clone(), why: error.to_string() })?;
        }
        let board = Arc::new(board);
        let mut ids: Vec<FaultId> = Vec::new();
        for fault in &config.faults {
            if ids.contains(&fault.id) {
                return Err(BindError::TwoFaults(fault.id.clone()));
            }
            ids.push(fault.id.clone());
        }
        // What the file says counts more than what was kept.
        let mut file = Reloader::new(board.clone(), ids);
        file.reload(config.faults).map_err(|error| BindError::Faults(error.to_string()))?;
        let recorder = Arc::new(recorder);
        let shared = Shared {
            board,
            ledger: Arc::new(Ledger::new()),
            upstreams: Arc::new(upstreams),
            recorder: recorder.clone(),
            event_ids: Arc::default(),
            traffic: recorder.observer.traffic.clone(),
            tls,
            limits: config.limits,
        };
        Ok(Self {
            listeners,
            address,
            routes,
            admin,
            state: config.state,
            file: Some(file),
            shared,
        })
    }

    /// Where clients connect; `None` where there is no upstream.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Name and address of each TCP route.
    pub fn routes(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.routes.iter().map(|(route, _, address)| (route.name(), *address))
    }

    /// Where the admin API listens.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address, _)| *address)
    }

    /// What lets the faults of a file change with it. It is there once.
    pub fn take_reloader(&mut self) -> Option<Reloader> {
        self.file.take()
    }

    /// Carries traffic until `shutdown`, one thread and runtime for each listener.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RunError> {
        let mut threads = Vec::new();
        for (number, listener) in self.listeners.into_iter().enumerate() {
            let (shared, shutdown) = (self.shared.clone(), shutdown.clone());
            let traffic = async move { carry_traffic(listener, shared, shutdown).await };
            threads.push(spawn(format!("proxy-{number}"), traffic).map_err(RunError::Thread)?);
        }
        let (shared, admin, routes) = (self.shared, self.admin, self.routes);
        let (stop, state) = (shutdown.clone(), self.state);
        let house = async move { keep_house(admin, routes, state, shared, stop).await };
        threads.push(spawn("proxy-admin".to_owned(), house).map_err(RunError::Thread)?);
        let mut outcome = Ok(());
        for thread in threads {
            if let Ok(Err(error)) = thread.await {
                shutdown.cancel();
                outcome = Err(RunError::Thread(error));
            }
        }
        outcome
    }
}

fn bind_routes(routes: &[TcpRoute]) -> Result<Vec<(TcpRoute, TcpListener, SocketAddr)>, BindError> {
    let mut bound: Vec<(TcpRoute, TcpListener, SocketAddr)> = Vec::new();
    for route in routes {
        let error =
            |error: RouteError| BindError::Route(route.name().to_owned(), error.to_string());
        if bound.iter().any(|(other, ..)| other.name() == route.name()) {
            return Err(error(RouteError::Exists(route.name().into())));
        }
        let (listener, address) = route::bind(route.listen()).map_err(error)?;
        bound.push((route.clone(), listener, address));
    }
    Ok(bound)
}

fn bind_admin(config: AdminConfig) -> Result<(TcpListener, SocketAddr, AdminConfig), BindError> {
    if !config.listen.ip().is_loopback() && config.token.is_none() && !config.open {
        return Err(BindError::OpenAdmin(config.listen));
    }
    let error = |source| BindError::Listen { address: config.listen, purpose: "admin API", source };
    let listener = listen::bind_alone(config.listen).map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    Ok((listener, address, config))
}

/// Runs a future on a thread and a runtime of its own.
fn spawn(
    name: String,
    future: impl Future<Output = io::Result<()>> + Send + 'static,
) -> io::Result<oneshot::Receiver<io::Result<()>>> {
    let (done, outcome) = oneshot::channel();
    thread::Builder::new().name(name).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let _ = done.send(runtime.and_then(|runtime| runtime.block_on(future)));
    })?;
    Ok(outcome)
}

async fn carry_traffic(
    listener: TcpListener,
    shared: Shared,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let proxying = Arc::new(Proxying {
        board: shared.board,
        ledger: shared.ledger,
        upstreams: shared.upstreams,
        meter: shared.recorder.observer.meter(),
        recorder: shared.recorder,
        event_ids: shared.event_ids,
        traffic: shared.traffic,
        tls: shared.tls,
        limits: shared.limits,
        delay: Delay::start()?,
    });
    let connections = TaskTracker::new();
    connections.spawn(beat(shutdown.clone()));
    let mut door = Door {
        listener: Some(listener),
        board: proxying.board.clone(),
        recorder: proxying.recorder.clone(),
        route: MCP_ROUTE.into(),
    };
    loop {
        tokio::select! {
            stream = door.accept() => {
                connections.spawn(connection::serve(stream, proxying.clone(), shutdown.clone()));
            }
            () = shutdown.cancelled() => break,
        }
    }
    drop(door);
    connections.close();
    connections.wait().await;
    Ok(())
}

/// Ticks until the end. With a timer that is due soon, a later one need not wake the thread to be heard
/// of: each exchange makes one, and that wake-up would be a call of the system.
async fn beat(shutdown: CancellationToken) {
    let mut beats = tokio::time::interval(Duration::from_secs(1));
    while !shutdown.is_cancelled() {
        tokio::select! {
            _ = beats.tick() => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn keep_house(
    admin: Option<(TcpListener, SocketAddr, AdminConfig)>,
    routes: Vec<(TcpRoute, TcpListener, SocketAddr)>,
    state: Option<PathBuf>,
    shared: Shared,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let board = shared.board.clone();
    let house = House {
        board: shared.board.clone(),
        recorder: shared.recorder.clone(),
        delay: Delay::start()?,
    };
    let open = Arc::new(Routes::new(house));
    for (route, listener, address) in routes {
        open.take_over(&route, listener, address);
    }
    let observer = shared.recorder.observer.clone();
    let watched = observer.clone();
    let tell_changes = {
        let (board, observer) = (board.clone(), observer.clone());
        async move {
            let mut changes = board.subscribe();
            while changes.changed().await.is_ok() {
                observer.board();
            }
        }
    };
    let serve = async move {
        match admin {
            Some((listener, address, config)) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let admin = Admin {
                    board: shared.board,
                    ledger: shared.ledger,
                    upstreams: shared.upstreams,
                    routes: open,
                    observer: observer.clone(),
                    toxics: Arc::default(),
                };
                admin::serve(listener, address, config, admin).await
            }
            None => std::future::pending().await,
        }
    };
    let keep_state = {
        let board = board.clone();
        async move {
            match state {
                Some(path) => state::keep(path, board).await,
                None => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        served = serve => served,
        () = keep_state => Ok(()),
        () = watched.keep_seconds() => Ok(()),
        () = tell_changes => Ok(()),
        () = board.keep_time() => Ok(()),
        () = shutdown.cancelled() => Ok(()),
    }
}
