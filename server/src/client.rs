//! What a client says it can do, and what it wants to hear.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// What a client can be asked for (schema, `ClientCapabilities`). What else it can does not matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capabilities {
    pub(crate) sampling: bool,
    /// Elicitation by a form.
    pub(crate) form: bool,
    /// Elicitation by a page that the user opens (from 2025-11-25).
    pub(crate) url: bool,
    pub(crate) roots: bool,
}

#[derive(Default, Deserialize)]
struct Declared {
    #[serde(default)]
    sampling: Option<Value>,
    #[serde(default)]
    elicitation: Option<Value>,
    #[serde(default)]
    roots: Option<Value>,
}

impl Capabilities {
    /// Reads the object that a client declares. One of elicitation that names no mode means forms
    /// (client/elicitation, capabilities).
    pub(crate) fn read(raw: &RawValue) -> Result<Self, serde_json::Error> {
        let declared: Declared = serde_json::from_str(raw.get())?;
        let modes = declared.elicitation.as_ref().and_then(Value::as_object);
        let names = |mode| modes.is_some_and(|modes| modes.contains_key(mode));
        Ok(Self {
            sampling: declared.sampling.is_some_and(|value| value.is_object()),
            form: modes.is_some() && (names("form") || !names("url")),
            url: names("url"),
            roots: declared.roots.is_some_and(|value| value.is_object()),
        })
    }

    /// Those that are needed for a request to the client, as it would declare them, if it did not.
    pub(crate) fn lacks(self, method: &str, is_url: bool) -> Option<Value> {
        match method {
            "sampling/createMessage" if !self.sampling => Some(json!({ "sampling": {} })),
            "elicitation/create" if is_url && !self.url => {
                Some(json!({ "elicitation": { "url": {} } }))
            }
            "elicitation/create" if !is_url && !self.form => {
                Some(json!({ "elicitation": { "form": {} } }))
            }
            "roots/list" if !self.roots => Some(json!({ "roots": {} })),
            _ => None,
        }
    }
}

/// How grave a log message is (RFC 5424, section 6.2.1), the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Capabilities {
        let raw = RawValue::from_string(text.to_owned()).expect(text);
        Capabilities::read(&raw).expect(text)
    }

    #[test]
    fn a_capability_is_an_object_that_is_there() {
        let none = Capabilities::default();
        for text in ["{}", r#"{"sampling":null}"#, r#"{"roots":7,"x":{}}"#] {
            assert_eq!(read(text), none, "{text}");
        }
        let all =
            r#"{"sampling":{},"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}}"#;
        assert_eq!(read(all), Capabilities { sampling: true, form: true, url: true, roots: true });
    }

    #[test]
    fn elicitation_without_a_mode_is_by_form() {
        for (text, form, url) in [
            (r#"{"elicitation":{}}"#, true, false),
            (r#"{"elicitation":{"form":{}}}"#, true, false),
            (r#"{"elicitation":{"url":{}}}"#, false, true),
        ] {
            let can = read(text);
            assert_eq!((can.form, can.url), (form, url), "{text}");
        }
    }
}
