//! Which containers a drill may touch: nothing that was not selected, in as many words.

use std::collections::{BTreeMap, BTreeSet};

use super::config::Adopt;
use super::container::{Container, State};
use super::{DockerConfig, DockerError};
use crate::world::REDIS;

/// Whoever carries it may be hit by drills.
pub(crate) const TARGET: &str = "squall.target=true";

/// Whoever carries it, too, is the Redis and no replica.
pub(crate) const ROLE_REDIS: &str = "squall.role=redis";

/// A container that takes part, under the name that drills call it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) name: String,
    pub(crate) container: Container,
}

/// All containers that take part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) replicas: Vec<Selected>,
    pub(crate) redis: Option<Selected>,
    /// What stands in front of the replicas; it is never hit.
    pub(crate) entry: Option<Selected>,
}

impl Selection {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Selected> {
        self.replicas.iter().chain(&self.redis).chain(&self.entry)
    }

    /// Whoever is there twice would be hit as somebody that it is not.
    fn with_one_role_each(self) -> Result<Self, DockerError> {
        let mut seen = BTreeSet::new();
        let twice = self.all().find(|selected| !seen.insert(&selected.container.id));
        match twice.map(|twice| twice.container.name.clone()) {
            Some(name) => Err(DockerError::TwoRoles(name)),
            None => Ok(self),
        }
    }

    /// What drills call them, by container id.
    pub(super) fn names(&self) -> BTreeMap<String, String> {
        let name = |selected: &Selected| (selected.container.id.clone(), selected.name.clone());
        self.all().map(name).collect()
    }
}

/// Selects among containers that run already. All of them are given: a name that is meant and has
/// no label is told from one that is not there.
pub(crate) fn adopted(
    config: &DockerConfig,
    adopt: &Adopt,
    all: &[Container],
) -> Result<Selection, DockerError> {
    let find = |name: &str| {
        all.iter().find(|container| container.name == name).ok_or_else(|| {
            let known: Vec<_> = all.iter().map(|container| container.name.clone()).collect();
            DockerError::NoSuchContainer { name: name.to_owned(), known: known.join(", ") }
        })
    };
    let redis = match &config.redis {
        Some(name) => Some(find(name)?),
        None => None,
    };
    let entry = config.entry.as_deref().map(find).transpose()?;
    let replicas: Vec<&Container> = match adopt {
        Adopt::Containers(names) => {
            names.iter().map(|name| find(name)).collect::<Result<_, _>>()?
        }
        Adopt::Label(label) => all
            .iter()
            .filter(|container| container.has_label(label) && !container.has_label(ROLE_REDIS))
            .filter(|container| ![redis, entry].contains(&Some(*container)))
            .collect(),
    };
    if replicas.is_empty() {
        return Err(DockerError::NothingSelected(adopt.to_string()));
    }
    for container in replicas.iter().copied().chain(redis) {
        may_be_hit(config, container)?;
    }
    let named = |container: &Container| Selected {
        name: container.name.clone(),
        container: container.clone(),
    };
    let selection = Selection {
        replicas: replicas.into_iter().map(named).collect(),
        redis: redis.map(|container| Selected { name: REDIS.to_owned(), ..named(container) }),
        entry: entry.map(named),
    };
    selection.with_one_role_each()
}

/// Selects the services of a stack of the drill's own.
pub(crate) fn own(config: &DockerConfig, all: &[Container]) -> Result<Selection, DockerError> {
    let find = |service: &String| {
        let found = all.iter().find(|one| one.service().as_ref() == Some(service));
        let container = found.cloned().ok_or_else(|| {
            let known: Vec<_> = all.iter().filter_map(Container::service).collect();
            DockerError::NoSuchContainer { name: service.clone(), known: known.join(", ") }
        })?;
        Ok(Selected { name: service.clone(), container })
    };
    let redis = config.redis.as_ref().map(find).transpose()?;
    let selection = Selection {
        replicas: config.replicas.iter().map(find).collect::<Result<_, DockerError>>()?,
        redis: redis.map(|redis| Selected { name: REDIS.to_owned(), ..redis }),
        entry: config.entry.as_ref().map(find).transpose()?,
    };
    selection.with_one_role_each()
}

/// Whatever selected it, the label says that it may be hit. What could not be put back as it was found is
/// left alone.
fn may_be_hit(config: &DockerConfig, container: &Container) -> Result<(), DockerError> {
    let name = container.name.clone();
    if !config.unlabelled && !container.has_label(TARGET) {
        return Err(DockerError::Unlabelled { name });
    }
    if container.is_removed {
        return Err(DockerError::Fleeting { name });
    }
    match container.state {
        State::Running { .. } => Ok(()),
        State::Paused => Err(DockerError::NotRunning { name, state: "paused" }),
        State::Restarting => Err(DockerError::NotRunning { name, state: "being restarted" }),
        State::Down => Err(DockerError::NotRunning { name, state: "not running" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, labels: &[&str]) -> Container {
        let pair = |label: &&str| label.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        Container {
            id: format!("{name:0<64}"),
            name: name.to_owned(),
            labels: labels.iter().filter_map(pair).collect(),
            state: State::Running { healthy: None },
            ..Container::default()
        }
    }

    fn config(json: &str) -> DockerConfig {
        serde_json::from_str(json).expect(json)
    }

    fn select(json: &str, all: &[Container]) -> Result<(Vec<String>, bool), String> {
        let config = config(json);
        let adopt = config.adopt.clone().expect("adopted");
        let selection = adopted(&config, &adopt, all).map_err(|error| error.to_string())?;
        let names = selection.replicas.into_iter().map(|selected| selected.name).collect();
        Ok((names, selection.redis.is_some()))
    }

    fn house() -> Vec<Container> {
        vec![
            container("web-1", &[TARGET]),
            container("web-2", &[TARGET]),
            container("cache", &[TARGET, ROLE_REDIS]),
            container("billing", &["team=money"]),
        ]
    }

    #[test]
    fn those_with_the_label_are_selected_and_nobody_else() {
        let all = r#"{"adopt":{"label":"squall.target=true"}}"#;
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(select(all, &house()), Ok((names(&["web-1", "web-2"]), false)));
        let with_redis = r#"{"adopt":{"label":"squall.target=true"},"redis":"cache"}"#;
        assert_eq!(select(with_redis, &house()), Ok((names(&["web-1", "web-2"]), true)));
        let by_name = r#"{"adopt":{"containers":["web-2"]}}"#;
        assert_eq!(select(by_name, &house()), Ok((names(&["web-2"]), false)));
    }

    #[test]
    fn an_empty_selection_is_refused() {
        let error = select(r#"{"adopt":{"label":"team=none"}}"#, &house()).expect_err("nobody");
        assert!(error.contains("team=none"), "{error}");
    }

    #[test]
    fn a_container_that_is_not_labelled_is_refused_unless_that_is_said_in_as_many_words() {
        let by_name = r#"{"adopt":{"containers":["web-1","billing"]}}"#;
        let error = select(by_name, &house()).expect_err("no label");
        assert!(error.contains("billing") && error.contains("squall.target=true"), "{error}");
        let as_redis = r#"{"adopt":{"containers":["web-1"]},"redis":"billing"}"#;
        assert!(select(as_redis, &house()).is_err());
        let meant = r#"{"adopt":{"containers":["web-1","billing"]},"unlabelled":true}"#;
        assert!(select(meant, &house()).is_ok());
    }

    #[test]
    fn a_label_of_ones_own_chooses_among_those_that_may_be_hit_and_frees_no_other() {
        let mut house = house();
        house[0].labels.insert("team".to_owned(), "money".to_owned());
        let error = select(r#"{"adopt":{"label":"team=money"}}"#, &house).expect_err("billing");
        assert!(error.contains("billing") && error.contains("squall.target=true"), "{error}");
        house[3].labels.remove("team");
        let chosen = select(r#"{"adopt":{"label":"team=money"}}"#, &house);
        assert_eq!(chosen, Ok((vec!["web-1".to_owned()], false)));
    }

    #[test]
    fn nobody_has_two_roles_and_what_stands_in_front_is_no_replica() {
        let by_label = r#"{"adopt":{"label":"squall.target=true"},"entry":"web-1"}"#;
        assert_eq!(select(by_label, &house()), Ok((vec!["web-2".to_owned()], false)));
        for twice in [
            r#"{"adopt":{"containers":["web-1","web-1"]}}"#,
            r#"{"adopt":{"containers":["web-1","web-2"]},"entry":"web-2"}"#,
            r#"{"adopt":{"containers":["web-1","cache"]},"redis":"cache"}"#,
        ] {
            let error = select(twice, &house()).expect_err(twice);
            assert!(error.contains("twice"), "{error}");
        }
    }

    #[test]
    fn what_would_be_removed_when_it_ends_is_left_alone() {
        let mut house = house();
        house[0].is_removed = true;
        let error = select(r#"{"adopt":{"containers":["web-1"]}}"#, &house).expect_err("--rm");
        assert!(error.contains("web-1") && error.contains("--rm"), "{error}");
    }

    #[test]
    fn a_container_that_is_missing_or_does_not_run_is_named() {
        let missing = r#"{"adopt":{"containers":["web-9"]}}"#;
        let error = select(missing, &house()).expect_err("missing");
        assert!(error.contains("web-9") && error.contains("web-2"), "{error}");
        let mut house = house();
        house[0].state = State::Down;
        let error = select(r#"{"adopt":{"containers":["web-1"]}}"#, &house).expect_err("down");
        assert!(error.contains("web-1") && error.contains("not running"), "{error}");
    }
}
