//! What a drill has to know of a container, taken from what the engine says of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, EndpointIpamConfig, EndpointSettings,
    HealthStatusEnum, PortBinding,
};

use crate::undo::Attachment;

/// The label by which Compose says whose a container is.
pub(crate) const PROJECT: &str = "com.docker.compose.project";
/// The label by which Compose says what a container is.
const SERVICE: &str = "com.docker.compose.service";
/// Compose's number of a container within its service.
const NUMBER: &str = "com.docker.compose.container-number";

/// A container, as it was when the engine was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    /// Without the slash that the engine puts in front.
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) state: State,
    /// When it was started last, in the engine's words; another value means another start.
    pub(crate) started_at: Option<String>,
    /// How it ended last.
    pub(crate) exit_code: Option<i64>,
    /// Whether the engine removes it when it ends.
    pub(crate) is_removed: bool,
    /// Its ports that are published on the host.
    pub(crate) ports: Vec<Published>,
    pub(crate) networks: Vec<Attachment>,
}

/// What a container does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// It runs. `healthy` is what its health check says, `None` without one.
    Running { healthy: Option<bool> },
    /// It is frozen.
    Paused,
    /// It ended, and its restart policy is about to start it again.
    Restarting,
    /// It ended, or was never started.
    #[default]
    Down,
}

/// A port of a container that can be reached from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    /// The port inside.
    pub(crate) inner: u16,
    /// Where it is reached; `None` while it does not run, if the port was left to the engine.
    pub(crate) outer: Option<SocketAddr>,
    /// Whether it is the same after a restart.
    pub(crate) is_fixed: bool,
}

impl Attachment {
    fn of(id: &str, network: String, endpoint: EndpointSettings) -> Self {
        let chosen = endpoint.ipam_config.unwrap_or_default();
        let is_some = |address: &String| !address.is_empty();
        let fixed = chosen.ipv4_address.filter(is_some);
        Self {
            network,
            aliases: own_aliases(id, endpoint.aliases.unwrap_or_default()),
            links: endpoint.links.unwrap_or_default(),
            ipv4_is_fixed: fixed.is_some(),
            ipv4: fixed.or(endpoint.ip_address).unwrap_or_default(),
            ipv6: chosen.ipv6_address.filter(is_some),
            driver_options: endpoint.driver_opts.unwrap_or_default().into_iter().collect(),
        }
    }

    /// What the engine is to be told.
    pub(super) fn endpoint(&self) -> EndpointSettings {
        let ipam = EndpointIpamConfig {
            ipv4_address: self.ipv4_is_fixed.then(|| self.ipv4.clone()),
            ipv6_address: self.ipv6.clone(),
            link_local_ips: None,
        };
        let is_empty = ipam.ipv4_address.is_none() && ipam.ipv6_address.is_none();
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        EndpointSettings {
            ipam_config: (!is_empty).then_some(ipam),
            aliases: some(&self.aliases),
            links: some(&self.links),
            driver_opts: (!self.driver_options.is_empty())
                .then(|| self.driver_options.clone().into_iter().collect()),
            ..Default::default()
        }
    }
}

/// The engine adds the short id itself, every time.
fn own_aliases(id: &str, aliases: Vec<String>) -> Vec<String> {
    aliases.into_iter().filter(|alias| alias.len() != 12 || !id.starts_with(alias)).collect()
}

impl From<ContainerInspectResponse> for Container {
    fn from(found: ContainerInspectResponse) -> Self {
        let id = found.id.unwrap_or_default();
        let config = found.config.unwrap_or_default();
        let state = found.state.unwrap_or_default();
        let settings = found.network_settings.unwrap_or_default();
        let host = found.host_config.unwrap_or_default();
        let bindings = host.port_bindings.unwrap_or_default();
        let open = settings.ports.unwrap_or_default();
        let networks = settings.networks.unwrap_or_default();
        let mut networks: Vec<_> = networks
            .into_iter()
            .map(|(network, endpoint)| Attachment::of(&id, network, endpoint))
            .collect();
        networks.sort_by(|one, other| one.network.cmp(&other.network));
        let mut ports: Vec<_> = bindings
            .iter()
            .filter_map(|(inner, bound)| {
                let now = open.get(inner).and_then(Option::as_deref).unwrap_or_default();
                published(inner, bound.as_deref().unwrap_or_default(), now)
            })
            .collect();
        ports.sort_by_key(|port| port.inner);
        Self {
            name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            exit_code: state.exit_code,
            is_removed: host.auto_remove == Some(true),
            state: State::of(&state),
            started_at: state.started_at,
            id,
            ports,
            networks,
        }
    }
}

impl State {
    fn of(state: &bollard::models::ContainerState) -> Self {
        let health = state.health.as_ref().and_then(|health| health.status);
        match state.status {
            Some(ContainerStateStatusEnum::PAUSED) => Self::Paused,
            Some(ContainerStateStatusEnum::RESTARTING) => Self::Restarting,
            Some(ContainerStateStatusEnum::RUNNING) => Self::Running {
                healthy: match health {
                    None | Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) => None,
                    Some(status) => Some(status == HealthStatusEnum::HEALTHY),
                },
            },
            _ => Self::Down,
        }
    }
}

/// The port that the owner published as `bound`, and where it is `now`. TCP and IPv4 only, which is
/// what the drill's proxy speaks to.
fn published(inner: &str, bound: &[PortBinding], now: &[PortBinding]) -> Option<Published> {
    let inner = inner.strip_suffix("/tcp")?.parse().ok()?;
    let asked = bound.iter().find_map(address);
    let given = now.iter().find_map(address);
    Some(Published { inner, outer: asked.or(given), is_fixed: asked.is_some() })
}

/// Where a binding is reached from the host itself; `None` where the port is left to the engine.
fn address(binding: &PortBinding) -> Option<SocketAddr> {
    let port = binding.host_port.as_deref()?.parse().ok().filter(|port| *port > 0)?;
    let ip = match binding.host_ip.as_deref().unwrap_or_default() {
        "" => Ipv4Addr::UNSPECIFIED,
        text => text.parse().ok()?,
    };
    let ip = if ip.is_unspecified() { Ipv4Addr::LOCALHOST } else { ip };
    Some(SocketAddr::new(IpAddr::V4(ip), port))
}

impl Container {
    /// Its address on its first network.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.networks.first().and_then(Attachment::address)
    }

    /// What drills call it: its service in a stack of the drill's own.
    pub(crate) fn service(&self) -> Option<String> {
        let service = self.labels.get(SERVICE)?;
        match self.labels.get(NUMBER).map(String::as_str) {
            None | Some("1") => Some(service.clone()),
            Some(number) => Some(format!("{service}-{number}")),
        }
    }

    /// Whether it carries this label, `key` or `key=value`.
    pub(crate) fn has_label(&self, label: &str) -> bool {
        match label.split_once('=') {
            Some((key, value)) => self.labels.get(key).is_some_and(|found| found == value),
            None => self.labels.contains_key(label),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn container(json: serde_json::Value) -> Container {
        let found: ContainerInspectResponse = serde_json::from_value(json).expect("an answer");
        found.into()
    }

    #[test]
    fn a_published_port_is_reached_on_the_host_and_may_move() {
        let container = container(json!({
            "Id": "0123456789abcdef", "Name": "/web-1",
            "State": { "Status": "running", "Running": true },
            "HostConfig": { "PortBindings": {
                "3000/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "13001" }],
                "80/tcp": [{ "HostIp": "", "HostPort": "0" }],
                "53/udp": [{ "HostIp": "", "HostPort": "53" }],
                "90/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "90" }],
            } },
            "NetworkSettings": { "Ports": {
                "80/tcp": [{ "HostIp": "::", "HostPort": "32768" }, { "HostIp": "0.0.0.0", "HostPort": "32768" }],
            } },
        }));
        let at = |text: &str| text.parse().ok();
        assert_eq!(
            container.ports,
            [
                Published { inner: 80, outer: at("127.0.0.1:32768"), is_fixed: false },
                Published { inner: 90, outer: at("127.0.0.1:90"), is_fixed: true },
                Published { inner: 3000, outer: at("127.0.0.1:13001"), is_fixed: true },
            ]
        );
        assert_eq!(container.name, "web-1");
        assert!(!container.is_removed);
    }

    #[test]
    fn a_container_is_put_back_on_its_network_as_it_was() {
        let container = container(json!({
            "Id": "0123456789abcdef", "Name": "/web-1",
            "NetworkSettings": { "Networks": {
                "front": {
                    "Aliases": ["web", "0123456789ab"], "IPAddress": "10.0.0.5",
                    "IPAMConfig": { "IPv4Address": "10.0.0.5" },
                },
                "back": { "Aliases": null, "IPAddress": "172.18.0.3", "IPAMConfig": null },
            } },
        }));
        let [back, front] = &container.networks[..] else { panic!("{container:?}") };
        assert_eq!(front.endpoint().aliases, Some(vec!["web".to_owned()]));
        let asked = front.endpoint().ipam_config.and_then(|ipam| ipam.ipv4_address);
        assert_eq!(asked.as_deref(), Some("10.0.0.5"));
        assert_eq!(back.endpoint().ipam_config, None, "its network gives it one");
        assert_eq!(back.address(), "172.18.0.3".parse().ok());
        let written = serde_json::to_string(front).expect("JSON");
        assert_eq!(&serde_json::from_str::<Attachment>(&written).expect("read back"), front);
    }

    #[test]
    fn the_state_is_what_the_engine_and_the_health_check_say() {
        for (state, expected) in [
            (json!({ "Status": "running" }), State::Running { healthy: None }),
            (
                json!({ "Status": "running", "Health": { "Status": "starting" } }),
                State::Running { healthy: Some(false) },
            ),
            (
                json!({ "Status": "running", "Health": { "Status": "healthy" } }),
                State::Running { healthy: Some(true) },
            ),
            (json!({ "Status": "paused" }), State::Paused),
            (json!({ "Status": "restarting" }), State::Restarting),
            (json!({ "Status": "exited" }), State::Down),
        ] {
            assert_eq!(container(json!({ "State": state })).state, expected);
        }
    }

    #[test]
    fn a_service_that_is_scaled_has_numbers() {
        let labelled = |number: &str| {
            let labels = json!({ SERVICE: "web", NUMBER: number });
            container(json!({ "Config": { "Labels": labels } })).service()
        };
        assert_eq!(labelled("1").as_deref(), Some("web"));
        assert_eq!(labelled("2").as_deref(), Some("web-2"));
    }
}
