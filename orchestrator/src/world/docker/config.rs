//! What a drill says of its containers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::compose::in_folder;
use super::container::Published;
use super::select::Selected;
use super::{Cast, DockerError};
use crate::world::ready::Probe;
use crate::world::redis::RedisUrl;

/// Squall's own stack, from a runbook's folder.
const OWN_STACK: &str = "../compose/docker-compose.yml";

/// What the docker world is made of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Draft")]
pub(crate) struct DockerConfig {
    compose: PathBuf,
    pub(super) adopt: Option<Adopt>,
    pub(super) replicas: Vec<String>,
    pub(super) port: Option<u16>,
    pub(super) entry: Option<String>,
    pub(super) entry_port: Option<u16>,
    pub(super) redis: Option<String>,
    redis_url: Option<RedisUrl>,
    pub(super) ready: Probe,
    pub(super) ready_within: Duration,
    most_at_once: Option<u8>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) unlabelled: bool,
}

/// Containers that run already.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Adopt {
    /// All that carry this label, `key` or `key=value`.
    Label(String),
    /// Those of these names.
    Containers(Vec<String>),
}

/// Where the containers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source<'a> {
    /// The drill starts them, from this Compose file.
    Own(&'a Path),
    /// They run already.
    Adopted(&'a Adopt),
}

/// A [`DockerConfig`] as it is written, not yet checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Draft {
    /// A Compose file, from the runbook's folder: the drill starts a stack of its own from it, and
    /// takes it down.
    compose: Option<PathBuf>,
    /// Instead: containers that run already, and run on afterwards as they did.
    adopt: Option<Adopt>,
    /// The services of the Compose file that are replicas.
    replicas: Option<Vec<String>>,
    /// The port inside that replicas listen on; needed where they publish several.
    port: Option<u16>,
    /// The service or container in front of the replicas, such as nginx: the drill's proxy stands in
    /// front of that, and not of the replicas.
    entry: Option<String>,
    /// The port inside that it listens on; needed where it publishes several.
    entry_port: Option<u16>,
    /// The service or container that is the Redis.
    redis: Option<String>,
    /// Its URL from here; needed where it asks for a password.
    #[serde(deserialize_with = "url")]
    redis_url: Option<RedisUrl>,
    /// How a replica says that it is ready.
    ready: Probe,
    /// How long everything may take to be ready, once it is started.
    #[serde(with = "crate::scalar::time")]
    ready_within: Duration,
    /// How many containers may be down, paused or disconnected at once. Default: 1 of what is adopted,
    /// any number of what is the drill's own.
    at_most: Option<u8>,
    /// Fills in the variables of the Compose file; `{port}` is a free port, `{run}` the run.
    environment: BTreeMap<String, String>,
    /// Whether containers without the label `squall.target=true` may be named.
    unlabelled: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            compose: None,
            adopt: None,
            replicas: None,
            port: None,
            entry: None,
            entry_port: None,
            redis: None,
            redis_url: None,
            ready: Probe::default(),
            ready_within: Duration::from_secs(60),
            at_most: None,
            environment: BTreeMap::new(),
            unlabelled: false,
        }
    }
}

fn url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<RedisUrl>, D::Error> {
    crate::scalar::text(deserializer).map(Some)
}

impl TryFrom<Draft> for DockerConfig {
    type Error = String;

    fn try_from(draft: Draft) -> Result<Self, String> {
        draft.check()?;
        let ours = ["server-1", "server-2", "server-3"].map(str::to_owned).to_vec();
        let is_own = draft.adopt.is_none();
        Ok(Self {
            compose: draft.compose.unwrap_or_else(|| PathBuf::from(OWN_STACK)),
            replicas: if is_own { draft.replicas.unwrap_or(ours) } else { Vec::new() },
            most_at_once: draft.at_most.or((!is_own).then_some(1)),
            adopt: draft.adopt,
            port: draft.port,
            entry: draft.entry,
            entry_port: draft.entry_port,
            redis: draft.redis,
            redis_url: draft.redis_url,
            ready: draft.ready,
            ready_within: draft.ready_within,
            environment: draft.environment,
            unlabelled: draft.unlabelled,
        })
    }
}

impl Draft {
    fn check(&self) -> Result<(), String> {
        if self.adopt.is_some() {
            if self.compose.is_some() {
                return Err(
                    "`compose` starts a stack, `adopt` takes one that runs: leave one of them out"
                        .to_owned(),
                );
            }
            if self.replicas.is_some() || !self.environment.is_empty() {
                return Err("`replicas` and `environment` belong to `compose`: name what is adopted with `adopt: { containers: […] }`".to_owned());
            }
        }
        match &self.adopt {
            Some(Adopt::Containers(names)) if names.is_empty() => {
                return Err("`adopt.containers` is empty: name at least one container".to_owned());
            }
            Some(Adopt::Label(label)) if label.is_empty() => {
                return Err(
                    "`adopt.label` is empty: a label such as squall.target=true was expected"
                        .to_owned(),
                );
            }
            _ => {}
        }
        if self.replicas.as_ref().is_some_and(Vec::is_empty) {
            return Err("`replicas` is empty: name at least one service".to_owned());
        }
        if self.at_most == Some(0) {
            return Err("`at_most` is 0, so that nothing could be broken: 1 or more was expected"
                .to_owned());
        }
        if self.redis_url.is_some() && self.redis.is_none() {
            return Err(
                "`redis_url` says where the Redis is, but not which container it is: add `redis`"
                    .to_owned(),
            );
        }
        self.ready.check()
    }
}

impl DockerConfig {
    /// Whether the drill starts the containers itself.
    pub(crate) fn is_own(&self) -> bool {
        self.adopt.is_none()
    }

    pub(crate) fn has_redis(&self) -> bool {
        self.redis.is_some()
    }

    /// Who can be hit, where nobody need be asked.
    pub(crate) fn known_cast(&self) -> Option<Cast> {
        match &self.adopt {
            None => Some(self.cast_of(self.replicas.clone())),
            Some(Adopt::Containers(names)) => Some(self.cast_of(names.clone())),
            Some(Adopt::Label(_)) => None,
        }
    }

    pub(super) fn cast_of(&self, replicas: Vec<String>) -> Cast {
        Cast { replicas, has_redis: self.has_redis(), most_at_once: self.most_at_once }
    }

    /// The same with paths that count from the runbook's folder.
    pub(crate) fn in_folder(self, base: &Path) -> Self {
        Self { compose: in_folder(base, &self.compose), ..self }
    }

    /// The Compose file, for a stack of the drill's own.
    pub(crate) fn compose_file(&self) -> Option<&Path> {
        self.is_own().then_some(self.compose.as_path())
    }

    pub(super) fn source(&self) -> Source<'_> {
        self.adopt.as_ref().map_or(Source::Own(&self.compose), Source::Adopted)
    }

    pub(super) fn redis_url(&self, redis: &Selected) -> Result<RedisUrl, DockerError> {
        match &self.redis_url {
            Some(url) => Ok(url.clone()),
            None => Ok(RedisUrl::at(self.address_of(redis, None)?)),
        }
    }

    /// Where a container is reached from here: at the port that is published for `inner`, or at the
    /// only one.
    pub(super) fn address_of(
        &self,
        selected: &Selected,
        inner: Option<u16>,
    ) -> Result<SocketAddr, DockerError> {
        let name = &selected.container.name;
        let ports = &selected.container.ports;
        let published = match inner {
            Some(inner) => ports.iter().find(|port| port.inner == inner),
            None => ports.first().filter(|_| ports.len() == 1),
        };
        let published = published.ok_or_else(|| no_port(name, ports))?;
        let outer = published.outer.ok_or_else(|| no_port(name, ports))?;
        if !published.is_fixed {
            let (inner, suggested) = (published.inner, outer.port());
            return Err(DockerError::MovingPort { name: name.clone(), inner, suggested });
        }
        Ok(outer)
    }
}

fn no_port(name: &str, ports: &[Published]) -> DockerError {
    let inner: Vec<_> = ports.iter().map(|port| port.inner.to_string()).collect();
    let (found, advice) = if inner.is_empty() {
        (
            "no port on IPv4".to_owned(),
            "publish the one that it serves on 127.0.0.1, or name what stands in front with `world.docker.entry`",
        )
    } else {
        (
            format!("the ports {}", inner.join(", ")),
            "say with `world.docker.port` (or `entry_port`) which one it serves",
        )
    };
    DockerError::NoPort { name: name.to_owned(), found, advice }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::docker::container::Container;

    fn check(json: &str) -> Result<DockerConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_need_be_written_for_a_stack_of_ones_own() {
        let config = check("{}").expect("the default");
        let config = config.in_folder(Path::new("/books/runbooks"));
        assert_eq!(
            config.source(),
            Source::Own(Path::new("/books/runbooks/../compose/docker-compose.yml"))
        );
        let cast = config.known_cast().expect("known");
        assert_eq!((cast.replicas.len(), cast.has_redis, cast.most_at_once), (3, false, None));
    }

    #[test]
    fn of_what_is_adopted_one_may_be_hit_at_once_unless_more_is_said() {
        let adopted = r#"{"adopt":{"containers":["a","b"]},"redis":"c"}"#;
        let cast = check(adopted).expect("a config").known_cast().expect("known");
        assert_eq!(
            (cast.names(), cast.most_at_once),
            (vec!["a".into(), "b".into(), "redis".into()], Some(1))
        );
        let more = r#"{"adopt":{"label":"x"},"at_most":2}"#;
        let config = check(more).expect("a config");
        assert_eq!(config.known_cast(), None);
        assert_eq!(config.cast_of(Vec::new()).most_at_once, Some(2));
    }

    #[test]
    fn what_no_world_can_be_made_of_is_refused_with_advice() {
        for (json, says) in [
            (r#"{"compose":"a","adopt":{"label":"x"}}"#, "leave one of them out"),
            (r#"{"adopt":{"containers":[]}}"#, "at least one"),
            (r#"{"adopt":{"label":""}}"#, "squall.target=true"),
            (r#"{"adopt":{"label":"x"},"replicas":["a"]}"#, "containers"),
            (r#"{"replicas":[]}"#, "at least one"),
            (r#"{"at_most":0}"#, "1 or more"),
            (r#"{"redis_url":"redis://127.0.0.1"}"#, "add `redis`"),
            (r#"{"redis":"r","redis_url":"http://127.0.0.1"}"#, "redis://HOST:PORT"),
            (r#"{"ready":{"path":"readyz"}}"#, "/readyz"),
            (r#"{"comp":"a"}"#, "compose"),
        ] {
            let error = check(json).expect_err(json);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_container_is_reached_at_a_port_that_stays() {
        let at =
            |inner, outer: &str, is_fixed| Published { inner, outer: outer.parse().ok(), is_fixed };
        let address = |ports: &[Published], inner| {
            let container =
                Container { name: "web".into(), ports: ports.to_vec(), ..Container::default() };
            let selected = Selected { name: "web".into(), container };
            let config = check("{}").expect("a config");
            config.address_of(&selected, inner).map_err(|error| error.to_string())
        };
        let fixed = [at(80, "127.0.0.1:8080", true), at(81, "127.0.0.1:8081", true)];
        assert_eq!(address(&fixed[..1], None), Ok("127.0.0.1:8080".parse().expect("an address")));
        assert_eq!(address(&fixed, Some(81)), Ok("127.0.0.1:8081".parse().expect("an address")));
        assert!(address(&fixed, None).expect_err("two").contains("world.docker.port"));
        assert!(address(&[], None).expect_err("none").contains("127.0.0.1"));
        let moving = address(&[at(80, "127.0.0.1:32768", false)], None).expect_err("it moves");
        assert!(moving.contains("127.0.0.1:32768:80"), "{moving}");
    }
}
