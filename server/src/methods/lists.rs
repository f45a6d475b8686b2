//! The lists of a server, each in pages.

use std::borrow::Cow;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use squall_model::mcp::envelope::Message;

use super::read_params;
use crate::pages;
use crate::rpc::RpcError;
use crate::server::Server;

/// A list that a client can ask for.
#[derive(Clone, Copy, Debug)]
pub(super) enum List {
    Tools,
    Resources,
    ResourceTemplates,
    Prompts,
}

/// One page of a list, under the list's own key.
pub(crate) struct ListPage {
    key: &'static str,
    items: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

#[derive(Default, Deserialize)]
struct ListParams<'a> {
    #[serde(borrow, default)]
    cursor: Option<Cow<'a, str>>,
}

impl List {
    fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Resources => "resources/list",
            Self::ResourceTemplates => "resources/templates/list",
            Self::Prompts => "prompts/list",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::ResourceTemplates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }

    fn items(self, server: &Server) -> &[Box<RawValue>] {
        match self {
            Self::Tools => &server.catalog.tools,
            Self::Resources => &server.catalog.resources,
            Self::ResourceTemplates => &server.catalog.templates,
            Self::Prompts => &server.catalog.prompts,
        }
    }
}

/// The page that a request asks for (server/utilities/pagination).
pub(super) fn page(
    list: List,
    server: &Server,
    message: &Message<'_>,
) -> Result<ListPage, RpcError> {
    let params: ListParams<'_> = match message.params {
        Some(params) => read_params(list.method(), params)?,
        None => ListParams::default(),
    };
    let items = list.items(server);
    let page = pages::page(items, params.cursor.as_deref(), server.config.page_size);
    let page = page.map_err(|error| RpcError::invalid_params(error.to_string()))?;
    Ok(ListPage { key: list.key(), items: page.items.to_vec(), next_cursor: page.next_cursor })
}

impl Serialize for ListPage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.key, &self.items)?;
        if let Some(cursor) = &self.next_cursor {
            map.serialize_entry("nextCursor", cursor)?;
        }
        map.end()
    }
}
