//! A typed client of the admin API, for the command line and for drills.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use squall_model::fault::{Fault, FaultId};
use tokio::net::TcpStream;

pub use crate::admin::{
    ChangedRoute, FaultView, HopsView, LedgerView, NewRoute, RouteView, SessionState, SessionView,
    StreamsView, UpstreamView,
};

/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes: all sessions that a ledger can hold.
const ANSWER_LIMIT: usize = 256 * 1024 * 1024;

/// Calls the admin API of one proxy. Each call has a connection of its own and ten seconds.
#[derive(Clone, Debug)]
pub struct AdminClient {
    address: SocketAddr,
    token: Option<String>,
}

/// Why a call was not done.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens there.
    #[error(
        "no proxy answers on {address}: start one with `squall proxy`, or name its admin API with --admin"
    )]
    Connect {
        /// Where it was tried.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the proxy's admin API on {address} broke off")]
    Http {
        /// Where it was tried.
        address: SocketAddr,
        /// What was wrong.
        source: hyper::Error,
    },
    /// No answer in time.
    #[error("the proxy's admin API on {0} gave no answer within 10 s")]
    Timeout(SocketAddr),
    /// The proxy said no.
    #[error("{error}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// The proxy's words.
        error: String,
    },
    /// Something else listens there.
    #[error("what answers on {0} is not the admin API of a squall proxy")]
    NotAProxy(SocketAddr),
}

#[derive(Deserialize)]
struct RefusalView {
    error: String,
}

impl AdminClient {
    /// A client of the API at this address.
    pub fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self { address, token }
    }

    /// All live faults, in the order in which they are asked.
    pub async fn faults(&self) -> Result<Vec<FaultView>, CallError> {
        self.call(Method::GET, "/faults", String::new()).await
    }

    /// Adds a fault.
    pub async fn add(&self, fault: &Fault) -> Result<FaultView, CallError> {
        self.call(Method::POST, "/faults", json(fault)).await
    }

    /// Puts a fault in the place of the one with the same id.
    pub async fn replace(&self, fault: &Fault) -> Result<FaultView, CallError> {
        self.call(Method::PUT, &format!("/faults/{}", fault.id), json(fault)).await
    }

    /// One fault.
    pub async fn fault(&self, id: &FaultId) -> Result<FaultView, CallError> {
        self.call(Method::GET, &format!("/faults/{id}"), String::new()).await
    }

    /// Changes what a JSON merge patch says of a fault.
    pub async fn patch(
        &self,
        id: &FaultId,
        patch: &serde_json::Value,
    ) -> Result<FaultView, CallError> {
        self.call(Method::PATCH, &format!("/faults/{id}"), patch.to_string()).await
    }

    /// Puts a whole set in the place of all faults, or none of it.
    pub async fn apply(&self, faults: &[Fault]) -> Result<Vec<FaultView>, CallError> {
        let body = serde_json::to_string(faults).unwrap_or_default();
        self.call(Method::PUT, "/faults", body).await
    }

    /// Removes a fault and frees what waits on it. Gives its last state.
    pub async fn remove(&self, id: &FaultId) -> Result<FaultView, CallError> {
        self.call(Method::DELETE, &format!("/faults/{id}"), String::new()).await
    }

    /// Starts a fault's lease again.
    pub async fn renew(&self, id: &FaultId) -> Result<FaultView, CallError> {
        self.call(Method::POST, &format!("/faults/{id}/lease"), String::new()).await
    }

    /// Removes all faults.
    pub async fn clear(&self) -> Result<Vec<FaultView>, CallError> {
        self.call(Method::DELETE, "/faults", String::new()).await
    }

    /// The session ledger, all of it.
    pub async fn sessions(&self) -> Result<LedgerView, CallError> {
        self.call(Method::GET, "/sessions", String::new()).await
    }

    /// The replicas behind the proxy.
    pub async fn upstreams(&self) -> Result<Vec<UpstreamView>, CallError> {
        self.call(Method::GET, "/upstreams", String::new()).await
    }

    /// Lets a replica get nothing new, or takes that back. Replicas are numbered from 1.
    pub async fn drain(&self, number: usize, draining: bool) -> Result<UpstreamView, CallError> {
        let body = serde_json::json!({ "draining": draining }).to_string();
        self.call(Method::PATCH, &format!("/upstreams/{number}"), body).await
    }

    /// The TCP routes, by name.
    pub async fn routes(&self) -> Result<Vec<RouteView>, CallError> {
        self.call(Method::GET, "/routes", String::new()).await
    }

    /// Makes a TCP route.
    pub async fn add_route(&self, route: &NewRoute) -> Result<RouteView, CallError> {
        let body = serde_json::to_string(route).unwrap_or_default();
        self.call(Method::POST, "/routes", body).await
    }

    /// Changes a TCP route.
    pub async fn change_route(
        &self,
        name: &str,
        change: &ChangedRoute,
    ) -> Result<RouteView, CallError> {
        let body = serde_json::to_string(change).unwrap_or_default();
        self.call(Method::PATCH, &format!("/routes/{}", segment(name)), body).await
    }

    /// Removes a TCP route. Gives its last state.
    pub async fn remove_route(&self, name: &str) -> Result<RouteView, CallError> {
        self.call(Method::DELETE, &format!("/routes/{}", segment(name)), String::new()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<T, CallError> {
        let call = self.exchange(method, path, body);
        let (status, body) = tokio::time::timeout(DEADLINE, call)
            .await
            .map_err(|_| CallError::Timeout(self.address))??;
        let not_a_proxy = |_| CallError::NotAProxy(self.address);
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(not_a_proxy);
        }
        let RefusalView { error } = serde_json::from_slice(&body).map_err(not_a_proxy)?;
        Err(CallError::Refused { status, error })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let address = self.address;
        let stream = TcpStream::connect(address)
            .await
            .map_err(|source| CallError::Connect { address, source })?;
        let broken = |source| CallError::Http { address, source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, address.to_string())
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request =
            request.body(Full::<Bytes>::from(body)).map_err(|_| CallError::NotAProxy(address))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
        let body = body.map_err(|_| CallError::NotAProxy(address))?.to_bytes();
        Ok((status, body))
    }
}

fn json(fault: &Fault) -> String {
    serde_json::to_string(fault).unwrap_or_default()
}

/// A name as one segment of a path (RFC 3986, section 2.1).
fn segment(name: &str) -> String {
    let plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~');
    let encode = |byte: u8| {
        if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    name.bytes().map(encode).collect()
}
