//! The Docker engine: every call of it that a drill makes, each with a deadline and its own words.
//!
//! Everything but the event stream goes through [`Engine::call`]. The engine is the one that
//! `DOCKER_HOST` names, or that listens at the usual socket; contexts of its command line are not read.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{NetworkConnectRequest, NetworkDisconnectRequest};
use bollard::query_parameters as query;
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::TryStreamExt as _;
use tokio::time::timeout;

use super::container::Container;
use crate::shim::signal::Signal;
use crate::undo::Attachment;

/// Where an engine listens unless it is told otherwise.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How long a call may take that the engine answers from what it knows, or nearly so.
const CALL: Duration = Duration::from_secs(20);

/// How much longer than a container's grace an end may take.
const BEYOND_GRACE: Duration = Duration::from_secs(20);

/// How long the engine may take to do what it has heard.
const SLACK: Duration = Duration::from_secs(2);

/// What the client itself waits at most; every call has a deadline of its own below it.
const CLIENT_TIMEOUT: u64 = 3600;

/// Why the engine did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Not an address that is spoken to here.
    #[error(
        "DOCKER_HOST is `{0}`: unix:///PATH or tcp://HOST:PORT was expected; for others, forward a socket"
    )]
    BadHost(String),
    /// One whose ports are not this machine's.
    #[error(
        "DOCKER_HOST is `{0}`, which is another machine: drills reach containers by the ports that are published here, so run it there"
    )]
    Elsewhere(String),
    /// Nobody there.
    #[error("no Docker engine answers at {host}: start one, or set DOCKER_HOST ({why})")]
    Absent {
        /// Where it was looked for.
        host: String,
        /// What the system said.
        why: String,
    },
    /// It said no.
    #[error("the Docker engine would not {what}: {why}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Its words.
        why: String,
        /// The HTTP status, or 0 where there was none.
        status: u16,
    },
    /// It did not answer.
    #[error("the Docker engine did not {what} within {deadline:?}")]
    Silent {
        /// What was asked for.
        what: String,
        /// How long it had.
        deadline: Duration,
    },
}

impl EngineError {
    /// Whether what was asked about is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// A client of one engine. Clones are the same client.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    host: String,
    docker: Docker,
}

impl Engine {
    /// The engine that the environment names, if it answers.
    pub(crate) async fn locate() -> Result<Self, EngineError> {
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        Self::connect(host.as_deref().unwrap_or(DEFAULT_HOST)).await
    }

    /// The engine at this address, if it answers.
    pub(crate) async fn connect(host: &str) -> Result<Self, EngineError> {
        let absent = |why: String| EngineError::Absent { host: host.to_owned(), why };
        let docker = if host.starts_with("unix://") {
            Docker::connect_with_unix(host, CLIENT_TIMEOUT, API_DEFAULT_VERSION)
        } else if let Some(address) = host.strip_prefix("tcp://") {
            if !is_loopback(address) {
                return Err(EngineError::Elsewhere(host.to_owned()));
            }
            Docker::connect_with_http(host, CLIENT_TIMEOUT, API_DEFAULT_VERSION)
        } else {
            return Err(EngineError::BadHost(host.to_owned()));
        };
        let docker = docker.map_err(|error| absent(words(&error)))?;
        let version = timeout(CALL, docker.negotiate_version()).await;
        let docker = version
            .map_err(|_| absent(format!("no answer within {CALL:?}")))?
            .map_err(|error| absent(words(&error)))?;
        Ok(Self { host: host.to_owned(), docker })
    }

    /// Where it is.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The client itself, for the event stream.
    pub(super) fn client(&self) -> &Docker {
        &self.docker
    }

    /// All containers, or those that carry this label, `key` or `key=value`, running or not.
    pub(crate) async fn containers(
        &self,
        label: Option<&str>,
    ) -> Result<Vec<Container>, EngineError> {
        let filters = label.map(labelled);
        let options = query::ListContainersOptions { all: true, filters, ..Default::default() };
        let listed = self.docker.list_containers(Some(options));
        let listed = self.call("list containers", CALL, listed).await?;
        let mut containers = Vec::new();
        for id in listed.into_iter().filter_map(|container| container.id) {
            match self.inspect(&id).await {
                Ok(container) => containers.push(container),
                // It was removed just now.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        containers.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(containers)
    }

    /// The container of that name or id.
    pub(crate) async fn inspect(&self, name: &str) -> Result<Container, EngineError> {
        let found = self.docker.inspect_container(name, None);
        let found = self.call(&format!("inspect {name}"), CALL, found).await?;
        Ok(Container::from(found))
    }

    pub(crate) async fn kill(&self, container: &str, signal: Signal) -> Result<(), EngineError> {
        let options = query::KillContainerOptions { signal: signal.to_string() };
        let kill = self.docker.kill_container(container, Some(options));
        self.call(&format!("send {signal} to {container}"), CALL, kill).await
    }

    /// Asks it to end and kills it after `grace`, in whole seconds. One that does not run is left as it is.
    pub(crate) async fn stop(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        let options = query::StopContainerOptions { t: Some(seconds(grace)), signal: None };
        let stop = self.docker.stop_container(container, Some(options));
        self.call(&format!("stop {container}"), grace + BEYOND_GRACE, stop).await
    }

    /// Starts it. One that runs is left as it is.
    pub(crate) async fn start(&self, container: &str) -> Result<(), EngineError> {
        let start = self.docker.start_container(container, None);
        self.call(&format!("start {container}"), CALL, start).await
    }

    pub(crate) async fn restart(
        &self,
        container: &str,
        grace: Duration,
    ) -> Result<(), EngineError> {
        let options = query::RestartContainerOptions { t: Some(seconds(grace)), signal: None };
        let restart = self.docker.restart_container(container, Some(options));
        self.call(&format!("restart {container}"), grace + BEYOND_GRACE, restart).await
    }

    pub(crate) async fn pause(&self, container: &str) -> Result<(), EngineError> {
        let pause = self.docker.pause_container(container);
        self.call(&format!("pause {container}"), CALL, pause).await
    }

    pub(crate) async fn unpause(&self, container: &str) -> Result<(), EngineError> {
        let unpause = self.docker.unpause_container(container);
        self.call(&format!("unpause {container}"), CALL, unpause).await
    }

    pub(crate) async fn disconnect(
        &self,
        container: &str,
        network: &str,
    ) -> Result<(), EngineError> {
        let request = NetworkDisconnectRequest { container: container.to_owned(), force: None };
        let disconnect = self.docker.disconnect_network(network, request);
        let what = format!("disconnect {container} from {network}");
        self.call(&what, CALL, disconnect).await
    }

    /// Connects it as it was: with the addresses that its owner chose, and elsewhere with the one that
    /// the network gives.
    pub(crate) async fn connect_to(
        &self,
        container: &str,
        attachment: &Attachment,
    ) -> Result<(), EngineError> {
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(attachment.endpoint()),
        };
        let connect = self.docker.connect_network(&attachment.network, request);
        let what = format!("connect {container} to {}", attachment.network);
        self.call(&what, CALL, connect).await
    }

    /// Whether there is a network of that name.
    pub(crate) async fn has_network(&self, network: &str) -> Result<bool, EngineError> {
        let options = None::<query::InspectNetworkOptions>;
        let found = self.docker.inspect_network(network, options);
        match self.call(&format!("inspect network {network}"), CALL, found).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a container, running or not, with the volumes that have no name.
    pub(crate) async fn remove_container(&self, container: &str) -> Result<(), EngineError> {
        let options = query::RemoveContainerOptions { v: true, force: true, ..Default::default() };
        let remove = self.docker.remove_container(container, Some(options));
        self.call(&format!("remove {container}"), CALL + BEYOND_GRACE, remove).await
    }

    /// The names of the networks that carry this label.
    pub(crate) async fn networks(&self, label: &str) -> Result<Vec<String>, EngineError> {
        let options = query::ListNetworksOptions { filters: Some(labelled(label)) };
        let listed = self.docker.list_networks(Some(options));
        let listed = self.call("list networks", CALL, listed).await?;
        Ok(listed.into_iter().filter_map(|network| network.id).collect())
    }

    pub(crate) async fn remove_network(&self, network: &str) -> Result<(), EngineError> {
        let remove = self.docker.remove_network(network);
        self.call(&format!("remove network {network}"), CALL, remove).await
    }

    /// The names of the volumes that carry this label.
    pub(crate) async fn volumes(&self, label: &str) -> Result<Vec<String>, EngineError> {
        let options = query::ListVolumesOptions { filters: Some(labelled(label)) };
        let listed = self.docker.list_volumes(Some(options));
        let listed = self.call("list volumes", CALL, listed).await?;
        Ok(listed.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect())
    }

    pub(crate) async fn remove_volume(&self, volume: &str) -> Result<(), EngineError> {
        let remove = self.docker.remove_volume(volume, None::<query::RemoveVolumeOptions>);
        self.call(&format!("remove volume {volume}"), CALL, remove).await
    }

    /// The end of what a container said, this many lines at most.
    pub(crate) async fn last_words(
        &self,
        container: &str,
        lines: u32,
    ) -> Result<String, EngineError> {
        let options = query::LogsOptions {
            stdout: true,
            stderr: true,
            tail: lines.to_string(),
            ..Default::default()
        };
        let said = self.docker.logs(container, Some(options));
        let said = said.try_fold(String::new(), async |mut said, piece| {
            said.push_str(&piece.to_string());
            Ok(said)
        });
        self.call(&format!("read what {container} said"), CALL, said).await
    }

    async fn call<T>(
        &self,
        what: &str,
        deadline: Duration,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, EngineError> {
        let what = what.to_owned();
        match timeout(deadline, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Error::DockerResponseServerError { status_code, message })) => {
                Err(EngineError::Refused { what, why: message, status: status_code })
            }
            Ok(Err(error)) => Err(EngineError::Refused { what, why: words(&error), status: 0 }),
            Err(_) => Err(EngineError::Silent { what, deadline }),
        }
    }
}

fn labelled(label: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![label.to_owned()])])
}

/// The client's error down to its last cause, which is the one that says something.
fn words(error: &Error) -> String {
    crate::causes::in_words(error)
}

/// Docker counts grace in whole seconds: as many as are needed to give at least so much.
fn seconds(grace: Duration) -> i32 {
    i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

/// How long an end that was asked for may still be under way, whoever waits for it or not.
pub(crate) fn settles_within(grace: Duration) -> Duration {
    Duration::from_secs(u64::try_from(seconds(grace)).unwrap_or_default()) + SLACK
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_on_this_machine() {
        for (address, expected) in [
            ("127.0.0.1:2375", true),
            ("localhost:2375", true),
            ("[::1]:2375", true),
            ("10.0.0.7:2375", false),
            ("docker.example:2375", false),
        ] {
            assert_eq!(is_loopback(address), expected, "{address}");
        }
    }

    #[test]
    fn an_end_settles_a_little_after_the_seconds_that_the_engine_counts() {
        assert_eq!(settles_within(Duration::from_millis(200)), Duration::from_secs(1) + SLACK);
        assert_eq!(settles_within(Duration::ZERO), SLACK);
    }
}
