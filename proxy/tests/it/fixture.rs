//! A proxy that runs, and upstreams that do as they are told.

use std::net::SocketAddr;
use std::sync::Arc;

use squall_model::chance::Seed;
use squall_model::fault::Fault;
use squall_proxy::client::AdminClient;
use squall_proxy::config::{Limits, UpstreamPolicy};
use squall_proxy::{AdminConfig, Config, Proxy};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::wire::{DEADLINE, Message, Wire};

pub fn fault(json: &str) -> Fault {
    serde_json::from_str(json).expect(json)
}

/// Loopback, any port.
pub fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub fn config(upstreams: &[SocketAddr]) -> Config {
    let address = |address: &SocketAddr| format!("http://{address}").parse().expect("an upstream");
    Config {
        listen: any(),
        tls: None,
        upstreams: upstreams.iter().map(address).collect(),
        policy: UpstreamPolicy::default(),
        limits: Limits::default(),
        tcp: Vec::new(),
        admin: Some(AdminConfig { listen: any(), token: None, open: false }),
        faults: Vec::new(),
        seed: Seed::new(7),
        threads: 1,
        state: None,
        history: None,
    }
}

/// A proxy that runs until it is dropped.
pub struct Running {
    pub address: SocketAddr,
    pub admin: AdminClient,
    pub admin_address: SocketAddr,
    _stop: DropGuard,
}

impl Running {
    pub async fn connect(&self) -> Wire {
        Wire::connect(self.address).await
    }

    pub async fn add(&self, json: &str) {
        self.admin.add(&fault(json)).await.expect("the fault is new");
    }

    /// Resolves when the fault has fired.
    pub async fn hit(&self, id: &str) {
        self.hit_again(id, 1).await;
    }

    /// Resolves when the fault has fired so often.
    pub async fn hit_again(&self, id: &str, times: u64) {
        while self.hits(id).await < times {
            tokio::task::yield_now().await;
        }
    }

    pub async fn hits(&self, id: &str) -> u64 {
        let faults = self.admin.faults().await.expect("the proxy runs");
        let found = faults.iter().find(|view| view.fault.id.as_str() == id);
        found.expect("the fault is live").hits
    }
}

pub fn run(config: Config) -> Running {
    let proxy = Proxy::bind(config).expect("free ports");
    let address = proxy.address().unwrap_or_else(any);
    let admin_address = proxy.admin_address().expect("an admin API");
    let stop = CancellationToken::new();
    tokio::spawn(proxy.run(stop.clone()));
    Running {
        address,
        admin: AdminClient::new(admin_address, None),
        admin_address,
        _stop: stop.drop_guard(),
    }
}

/// An upstream that answers every request with the same bytes and tells what it got.
pub struct Upstream {
    pub address: SocketAddr,
    requests: Mutex<mpsc::UnboundedReceiver<Message>>,
}

impl Upstream {
    pub async fn answering(answer: impl Into<String>) -> Arc<Self> {
        let answer = answer.into();
        Self::with(move |_| answer.clone()).await
    }

    pub async fn with<A: AsRef<[u8]> + Send + 'static>(
        answer: impl Fn(&Message) -> A + Send + Sync + 'static,
    ) -> Arc<Self> {
        let listener = TcpListener::bind(any()).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (told, requests) = mpsc::unbounded_channel();
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (told, answer) = (told.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut wire = Wire::new(stream);
                    while let Some(request) = wire.message().await {
                        let bytes = answer(&request);
                        let _ = told.send(request);
                        wire.try_send(bytes).await;
                    }
                });
            }
        });
        Arc::new(Self { address, requests: Mutex::new(requests) })
    }

    /// The next request that came in.
    pub async fn request(&self) -> Message {
        tokio::time::timeout(DEADLINE, self.requests.lock().await.recv())
            .await
            .expect("a request within the deadline")
            .expect("the upstream runs")
    }

    /// How many requests came in that nobody has looked at.
    pub async fn unseen(&self) -> usize {
        self.requests.lock().await.len()
    }
}

/// An upstream whose connections the test itself serves.
pub async fn by_hand() -> (SocketAddr, Connections) {
    let listener = TcpListener::bind(any()).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if sender.send(Wire::new(stream)).is_err() {
                return;
            }
        }
    });
    (address, Connections(receiver))
}

/// The connections that a server by hand was given, oldest first.
pub struct Connections(mpsc::UnboundedReceiver<Wire>);

impl Connections {
    /// The next, waited for as long as a test may wait.
    pub async fn recv(&mut self) -> Option<Wire> {
        tokio::time::timeout(DEADLINE, self.0.recv())
            .await
            .expect("a connection within the deadline")
    }

    /// The next, if it is there.
    pub fn try_recv(&mut self) -> Option<Wire> {
        self.0.try_recv().ok()
    }
}

pub fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// An answer that a session was made.
pub fn session(id: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nMcp-Session-Id: {id}\r\nContent-Length: 0\r\n\r\n")
}

pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
