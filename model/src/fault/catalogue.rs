//! What there is to know of every effect, read off its JSON Schema: for documents and for help.

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde_json::Value;

use super::{EFFECT_NAMES, Effect, Fault};

/// An effect, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EffectDoc {
    /// The name that files use.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub sentence: String,
    /// What it does, in full.
    pub description: String,
    /// What can be said of it, in alphabetical order; what has to be said comes first.
    pub fields: Vec<FieldDoc>,
}

/// A field of something that people write, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldDoc {
    /// Its name.
    pub name: String,
    /// What may stand there, in words: `time`, `true or false`, `strip, repeat or backwards`.
    pub takes: String,
    /// Whether it has to be given.
    pub is_required: bool,
    /// What it is where it is not given, if the schema says so.
    pub default: Option<String>,
    /// What it means.
    pub description: String,
}

/// The JSON Schema of a fault.
pub fn schema() -> Schema {
    schema_for!(Fault)
}

/// All effects, in the order of [`Effect`].
pub fn catalogue() -> Vec<EffectDoc> {
    let schema = schema_for!(Effect).to_value();
    let variants = schema["oneOf"].as_array().into_iter().flatten();
    let doc = |(name, variant): (&&'static str, &Value)| {
        let own = resolved(&schema, &variant["properties"][name]);
        EffectDoc {
            name,
            sentence: text(&variant["description"]),
            description: text(&own["description"]),
            fields: fields(&schema, own),
        }
    };
    EFFECT_NAMES.iter().zip(variants).map(doc).collect()
}

/// The fields of a type that people write: [`Scope`](crate::scope::Scope), say.
pub fn fields_of<T: JsonSchema>() -> Vec<FieldDoc> {
    let schema = schema_for!(T).to_value();
    fields(&schema, &schema)
}

fn fields(root: &Value, own: &Value) -> Vec<FieldDoc> {
    let required = own["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|n| n == name));
    let properties = own["properties"].as_object().into_iter().flatten();
    let mut fields: Vec<_> = properties
        .map(|(name, field)| FieldDoc {
            name: name.clone(),
            takes: takes(root, field),
            is_required: is_required(name),
            default: field.get("default").map(plain),
            description: text(&field["description"]),
        })
        .collect();
    fields.sort_by_key(|field| !field.is_required);
    fields
}

/// What a `$ref` leads to; an optional type is the type itself.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(path) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        return root.pointer(path).unwrap_or(schema);
    }
    let options = schema["anyOf"].as_array().into_iter().flatten();
    match options.filter(|option| option["type"] != "null").collect::<Vec<_>>()[..] {
        [only] => resolved(root, only),
        _ => schema,
    }
}

fn takes(root: &Value, field: &Value) -> String {
    let schema = resolved(root, field);
    if let Some(options) = schema["oneOf"].as_array() {
        return one_of(options.iter().map(|option| plain(&option["const"])).collect());
    }
    if let Some(options) = schema["enum"].as_array() {
        return one_of(options.iter().map(plain).collect());
    }
    let types = [&schema["type"], &schema["type"][0], &schema["type"][1]];
    let is = |name: &str| types.iter().any(|found| *found == name);
    match () {
        () if schema["format"] == "duration" => "time".to_owned(),
        () if is("integer") && is("string") => "size".to_owned(),
        () if is("integer") || is("number") => number(schema),
        () if is("boolean") => "true or false".to_owned(),
        () if is("string") => "text".to_owned(),
        () if is("array") => "list".to_owned(),
        () if is("object") => "map".to_owned(),
        () => "any JSON".to_owned(),
    }
}

fn number(schema: &Value) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) if least != 0 => format!("number from {least}"),
        _ => "number".to_owned(),
    }
}

fn one_of(mut options: Vec<String>) -> String {
    let last = options.pop().unwrap_or_default();
    if options.is_empty() { last } else { format!("{} or {last}", options.join(", ")) }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A description in one line.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::Scope;

    fn field(effect: &str, field: &str) -> FieldDoc {
        let effects = catalogue();
        let effect = effects.iter().find(|doc| doc.name == effect).expect(effect);
        effect.fields.iter().find(|doc| doc.name == field).expect(field).clone()
    }

    #[test]
    fn every_effect_and_every_field_is_described() {
        let effects = catalogue();
        assert_eq!(effects.len(), EFFECT_NAMES.len());
        for effect in effects {
            assert!(effect.sentence.ends_with('.'), "{effect:?}");
            assert!(!effect.description.is_empty(), "{effect:?}");
            for field in effect.fields {
                assert!(!field.description.is_empty(), "{}: {field:?}", effect.name);
            }
        }
    }

    #[test]
    fn a_field_says_what_it_takes() {
        let takes = |effect, name| field(effect, name).takes;
        assert_eq!(takes("latency", "delay"), "time");
        assert_eq!(takes("latency", "distribution"), "uniform, normal or pareto");
        assert_eq!(takes("http-status", "status"), "200 to 599");
        assert_eq!(takes("truncate", "after"), "size");
        assert_eq!(takes("cut", "before_answer"), "true or false");
        assert_eq!(takes("rewrite", "set"), "map");
        assert_eq!(takes("reroute", "to"), "text");
        let delay = field("latency", "delay");
        assert!(delay.is_required && delay.default.is_none());
        assert_eq!(field("latency", "at").default.as_deref(), Some("exchange"));
    }

    #[test]
    fn the_fields_of_a_match_are_described_too() {
        let fields = fields_of::<Scope>();
        let kind = fields.iter().find(|field| field.name == "kind").expect("kind");
        assert_eq!(kind.takes, "request, notification, response or error");
    }
}
