//! Content blocks: what tools give back, prompts are made of and resources hold (schema, `ContentBlock`).

use serde::Serialize;

/// A piece of content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Content {
    Text {
        text: String,
    },
    /// Base64.
    #[serde(rename_all = "camelCase")]
    Image {
        data: &'static str,
        mime_type: &'static str,
    },
    /// Base64.
    #[serde(rename_all = "camelCase")]
    Audio {
        data: &'static str,
        mime_type: &'static str,
    },
    Resource {
        resource: Contents,
    },
}

/// What a resource holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Contents {
    pub(crate) uri: String,
    pub(crate) mime_type: &'static str,
    #[serde(flatten)]
    pub(crate) body: Body,
}

/// Text as it is, bytes in Base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Body {
    Text(String),
    Blob(&'static str),
}

impl Content {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

impl Contents {
    pub(crate) fn text(
        uri: impl Into<String>,
        mime_type: &'static str,
        text: impl Into<String>,
    ) -> Self {
        Self { uri: uri.into(), mime_type, body: Body::Text(text.into()) }
    }
}
