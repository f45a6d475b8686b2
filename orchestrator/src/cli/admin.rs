//! How commands reach a running proxy's admin API.

use std::net::SocketAddr;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;
use squall_proxy::client::{AdminClient, CallError};

use super::{Failure, exit, not_started, say, unusable};

/// Where a proxy's admin API listens by default.
pub(super) const ADMIN: &str = "127.0.0.1:8474";

/// Which proxy, and how its answers are shown.
#[derive(clap::Args)]
pub(super) struct AdminArguments {
    /// The proxy's admin API
    #[arg(long, global = true, default_value = ADMIN, env = "SQUALL_ADMIN", value_name = "ADDRESS")]
    admin: SocketAddr,
    /// Its token, if it has one
    #[arg(
        long,
        global = true,
        env = "SQUALL_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    admin_token: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl AdminArguments {
    pub(super) fn client(&self) -> AdminClient {
        AdminClient::new(self.admin, self.admin_token.clone())
    }
}

/// A proxy that says no has been given something it cannot use; one that does not answer is not
/// there.
pub(super) fn failure(error: CallError) -> Failure {
    match error {
        CallError::Refused { status, .. } if status.as_u16() == 401 => unusable(anyhow::anyhow!(
            "{error}: give it with --admin-token, or in SQUALL_ADMIN_TOKEN"
        )),
        CallError::Refused { .. } => unusable(error),
        _ => Failure::new(exit::NOT_STARTED, error),
    }
}

/// Prints a value as JSON.
pub(super) fn say_json(value: &impl Serialize) -> Result<(), Failure> {
    say(serde_json::to_string_pretty(value).map_err(not_started)?);
    Ok(())
}

/// A table with this header.
pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}
