//! The drill's own proxy: a child process, driven only through its admin API.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use squall_model::chance::Seed;
use squall_proxy::client::AdminClient;

use crate::token::token;
use crate::world::{Child, ChildError, Children, free_address};

/// How long the proxy may take until its admin API answers.
const READY: Duration = Duration::from_secs(10);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A proxy that carries the drill's traffic.
#[derive(Debug)]
pub(super) struct DrillProxy {
    child: Child,
    pub(super) address: SocketAddr,
    pub(super) admin: AdminClient,
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// No port below the ephemeral range is free.
    #[error("no free port was found for the drill's proxy")]
    NoPort,
    /// No randomness for its token.
    #[error("no random token could be made for the drill's proxy")]
    NoToken(#[source] getrandom::Error),
    /// The process could not be started.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// It ended, or did not answer.
    #[error("the drill's proxy did not come up: {said}")]
    NotReady {
        /// Its last words.
        said: String,
    },
}

impl DrillProxy {
    /// Starts the proxy in front of these replicas and waits until it answers.
    pub(super) async fn start(
        children: &Children,
        upstreams: &[String],
        seed: Seed,
        history: &Path,
    ) -> Result<Self, ProxyError> {
        let address = free_address().ok_or(ProxyError::NoPort)?;
        let admin_address = free_address().ok_or(ProxyError::NoPort)?;
        let mut command: Vec<String> = ["squall", "proxy", "--listen"].map(str::to_owned).into();
        command.push(address.to_string());
        command.extend(["--admin".to_owned(), admin_address.to_string()]);
        command.extend(["--seed".to_owned(), seed.to_string()]);
        command.extend(["--history".to_owned(), history.display().to_string()]);
        for upstream in upstreams {
            command.extend(["--upstream".to_owned(), upstream.clone()]);
        }
        let token = token().map_err(ProxyError::NoToken)?;
        let environment = BTreeMap::from([("SQUALL_ADMIN_TOKEN".to_owned(), token.clone())]);
        let child = children.spawn("proxy", &command, &environment).await?;
        let proxy = Self { child, address, admin: AdminClient::new(admin_address, Some(token)) };
        proxy.wait_ready().await?;
        Ok(proxy)
    }

    async fn wait_ready(&self) -> Result<(), ProxyError> {
        let answers = async {
            while self.admin.faults().await.is_err() {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        tokio::select! {
            () = answers => Ok(()),
            _ = self.child.until_exited() => Err(self.not_ready()),
            () = tokio::time::sleep(READY) => Err(self.not_ready()),
        }
    }

    fn not_ready(&self) -> ProxyError {
        let said = self.child.said_last();
        ProxyError::NotReady { said }
    }

    /// Resolves when the proxy has ended, which it should not.
    pub(super) async fn ended(&self) {
        self.child.until_exited().await;
    }
}
