//! A stack of the drill's own: brought up from a Compose file, with ports that are free.

use std::collections::BTreeMap;
use std::path::Path;

use super::compose::{Stack, Tool, project_of};
use super::container::PROJECT;
use super::engine::Engine;
use super::select::{self, Selection};
use super::{DockerConfig, DockerError};
use crate::journal::Journal;
use crate::token::token;
use crate::undo::Undo;
use crate::world::{Children, free_address};

/// The variables of Squall's own Compose file that are ports. A file that does not know them does not
/// miss them.
const PORTS: [&str; 7] = [
    "SQUALL_SERVER_1_PORT",
    "SQUALL_SERVER_2_PORT",
    "SQUALL_SERVER_3_PORT",
    "SQUALL_REDIS_PORT",
    "SQUALL_NGINX_PORT",
    "SQUALL_PROXY_PORT",
    "SQUALL_ADMIN_PORT",
];

/// Its variable for where sessions are kept: empty means in memory.
const REDIS: &str = "SQUALL_REDIS";

/// Its variable for the token of the proxy for people, which a drill does not start.
const TOKEN: &str = "SQUALL_ADMIN_TOKEN";

/// Brings the stack up. That it is to be taken down is on disk before.
pub(super) async fn bring_up(
    config: &DockerConfig,
    file: &Path,
    engine: &Engine,
    children: &Children,
    journal: &Journal,
) -> Result<Selection, DockerError> {
    let run = children.run().as_str();
    let project = project_of(run);
    let stack = Stack { file, project: &project, environment: environment(config, engine, run) };
    let tool = Tool::find().await?;
    tool.check(&stack).await?;
    let undo = Undo::RemoveProject { engine: engine.host().to_owned(), project: project.clone() };
    journal.register_aside(undo).await?;
    let services = config.replicas.iter().chain(&config.redis).chain(&config.entry);
    let services: Vec<String> = services.cloned().collect();
    tool.up(&stack, &services, children).await?;
    let all = engine.containers(Some(&format!("{PROJECT}={project}"))).await?;
    select::own(config, &all)
}

fn environment(config: &DockerConfig, engine: &Engine, run: &str) -> BTreeMap<String, String> {
    let port = || free_address().map_or_else(String::new, |address| address.port().to_string());
    let mut environment: BTreeMap<String, String> =
        PORTS.iter().map(|name| ((*name).to_owned(), port())).collect();
    // Nobody needs it; the tool only wants it to be something.
    environment.insert(TOKEN.to_owned(), token().unwrap_or_default());
    // The tool has its own ways of finding an engine: it must be the one that takes the stack down.
    environment.insert("DOCKER_HOST".to_owned(), engine.host().to_owned());
    // Whatever it is set to where the drill was started.
    let redis = config.redis.as_ref().map(|service| format!("redis://{service}:6379/"));
    environment.insert(REDIS.to_owned(), redis.unwrap_or_default());
    for (name, value) in &config.environment {
        let value = value.replace("{port}", &port()).replace("{run}", run);
        environment.insert(name.clone(), value);
    }
    environment
}
