//! What a server offers, as its lists say, bounded whatever they say.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// How many tools, resources and prompts are looked at, each.
pub(crate) const MOST_ITEMS: usize = 1_000;

/// What a server offers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    pub(crate) tools: Vec<Tool>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) prompts: Vec<Prompt>,
}

/// One entry of `tools/list`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Tool {
    pub(crate) name: String,
    #[serde(default, rename = "inputSchema")]
    pub(crate) input_schema: Value,
    #[serde(default)]
    pub(crate) annotations: Option<Annotations>,
}

/// A tool's word for what it does (server/tools, tool annotations).
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Annotations {
    #[serde(default, rename = "readOnlyHint")]
    read_only: Option<bool>,
    #[serde(default, rename = "destructiveHint")]
    destructive: Option<bool>,
}

impl Tool {
    pub(crate) fn is_read_only(&self) -> bool {
        self.annotations.and_then(|a| a.read_only) == Some(true)
    }

    /// Whether it says so. The hint means nothing for a tool that only reads.
    pub(crate) fn is_destructive(&self) -> bool {
        !self.is_read_only() && self.annotations.and_then(|a| a.destructive) == Some(true)
    }
}

/// One entry of `resources/list`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Resource {
    pub(crate) uri: String,
}

/// One entry of `prompts/list`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Prompt {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) arguments: Vec<PromptArgument>,
}

/// One argument of a prompt; always a text.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PromptArgument {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) required: bool,
}

/// One page of any of the three lists.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    #[serde(default)]
    tools: Vec<Box<RawValue>>,
    #[serde(default)]
    resources: Vec<Box<RawValue>>,
    #[serde(default)]
    prompts: Vec<Box<RawValue>>,
    /// Where the next page begins, where there is one.
    #[serde(default, rename = "nextCursor")]
    pub(crate) next_cursor: Option<String>,
}

impl Offer {
    /// Takes up one page. Entries of another shape are left out.
    pub(crate) fn add(&mut self, page: &Page) {
        extend(&mut self.tools, &page.tools);
        extend(&mut self.resources, &page.resources);
        extend(&mut self.prompts, &page.prompts);
    }
}

fn extend<T: for<'de> Deserialize<'de>>(items: &mut Vec<T>, raw: &[Box<RawValue>]) {
    let parsed = raw.iter().filter_map(|raw| serde_json::from_str(raw.get()).ok());
    let left = MOST_ITEMS.saturating_sub(items.len());
    items.extend(parsed.take(left));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_another_shape_are_left_out_and_the_number_is_bounded() {
        let many = vec![r#"{"name":"x"}"#; MOST_ITEMS + 5].join(",");
        let page = format!(r#"{{"tools":[7,{{}},{many}],"nextCursor":"2"}}"#);
        let page: Page = serde_json::from_str(&page).expect("a page");
        let mut offer = Offer::default();
        offer.add(&page);
        assert_eq!(offer.tools.len(), MOST_ITEMS);
        assert_eq!(page.next_cursor.as_deref(), Some("2"));
    }
}
