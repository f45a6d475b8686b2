//! `resources/read`, and subscriptions to what it reads.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;
use squall_model::mcp::envelope::Message;
use squall_model::mcp::era::Era;

use super::{Asker, Success, clip, require_params};
use crate::resources;
use crate::rpc::{self, RpcError};
use crate::server::Server;
use crate::store::{Change, MOST_SUBSCRIPTIONS};

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
}

pub(super) fn read(
    server: &Server,
    asker: Asker<'_>,
    message: &Message<'_>,
) -> Result<Success, RpcError> {
    let params: Params<'_> = require_params("resources/read", message)?;
    let contents = resources::read(server, &params.uri);
    let contents = contents.ok_or_else(|| not_found(&params.uri, asker.era))?;
    server.stats.resource_reads.increase();
    Ok(Success::Read { contents: [contents] })
}

pub(super) fn subscribe(
    server: &Server,
    asker: Asker<'_>,
    message: &Message<'_>,
) -> Result<Change, RpcError> {
    let Params { uri } = require_params("resources/subscribe", message)?;
    if !resources::exists(server, &uri) {
        return Err(not_found(&uri, asker.era));
    }
    let has = asker.session.map_or(0, |(_, session)| session.subscriptions.len());
    if has >= MOST_SUBSCRIPTIONS {
        return Err(RpcError::new(
            rpc::SERVER_ERROR,
            format!("a session may subscribe to {MOST_SUBSCRIPTIONS} resources: unsubscribe first"),
        ));
    }
    Ok(Change::Subscribe(uri.into_owned()))
}

pub(super) fn unsubscribe(message: &Message<'_>) -> Result<Change, RpcError> {
    let Params { uri } = require_params("resources/unsubscribe", message)?;
    Ok(Change::Unsubscribe(uri.into_owned()))
}

/// The code differs by era (server/resources, error handling; 2026-07-28: -32602).
fn not_found(uri: &str, era: Era) -> RpcError {
    let code = match era {
        Era::Session => rpc::RESOURCE_NOT_FOUND,
        Era::Stateless => rpc::INVALID_PARAMS,
    };
    let uri = clip(uri);
    RpcError::new(code, format!("resource not found: `{uri}`: see resources/list"))
        .with(json!({ "uri": uri }))
}
