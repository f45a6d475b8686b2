//! Arguments for a tool, made from its input schema (JSON Schema 2020-12) and a draw.

use rand::RngExt as _;
use serde_json::{Map, Value};
use squall_model::chance::Draw;

mod pattern;

/// How deep a schema is followed, references included.
const DEEPEST: u32 = 12;
/// How deep references among alternatives are followed while there are others.
const DEEP: u32 = 4;
/// How many values one set of arguments has at most.
const MOST_VALUES: u32 = 500;
/// How long a text or an array is made at most, whatever the schema asks for.
const LONGEST: u64 = 1_024;

/// The smallest arguments that the schema accepts, as far as it can be told: what is required, with
/// the schema's own constants, defaults, examples and first enum values where it has them.
pub(crate) fn from_schema(schema: &Value, draw: &mut Draw) -> Value {
    let mut maker = Maker { root: schema, draw, values: 0 };
    match maker.value(schema, 0) {
        Value::Object(arguments) => Value::Object(arguments),
        _ => Value::Object(Map::new()),
    }
}

struct Maker<'a> {
    root: &'a Value,
    draw: &'a mut Draw,
    values: u32,
}

impl Maker<'_> {
    fn value(&mut self, schema: &Value, depth: u32) -> Value {
        self.values += 1;
        if depth > DEEPEST || self.values > MOST_VALUES {
            return Value::Null;
        }
        if let Some(own) = own_value(schema) {
            return own.clone();
        }
        if let Some(inner) = self.referred(schema, depth) {
            return self.value(&inner, depth + 1);
        }
        if let Some(parts) = list_at(schema, "allOf").filter(|_| !is_typed(schema)) {
            return self.all_of(parts, depth);
        }
        match type_of(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "integer" => self.integer(schema),
            "number" => self.number(schema),
            "boolean" => Value::Bool(self.draw.random_bool(0.5)),
            "null" => Value::Null,
            _ => self.text(schema),
        }
    }

    /// A local `$ref`, or an alternative, where the schema is only that.
    fn referred(&self, schema: &Value, depth: u32) -> Option<Value> {
        if let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
            return self.root.pointer(pointer.strip_prefix('#')?).cloned();
        }
        if is_typed(schema) {
            return None;
        }
        let alternatives = ["anyOf", "oneOf"].into_iter().find_map(|key| list_at(schema, key))?;
        // A tree ends where it may: its leaves are alternatives that refer to nothing.
        let leaf = |value: &&Value| depth > DEEP && value.get("$ref").is_none();
        alternatives.iter().find(leaf).or(alternatives.first()).cloned()
    }

    /// What all parts of an `allOf` ask for together, as far as they are objects.
    fn all_of(&mut self, parts: &[Value], depth: u32) -> Value {
        let mut made = parts.iter().map(|part| self.value(part, depth + 1));
        let mut whole = made.next().unwrap_or(Value::Null);
        for part in made {
            if let (Value::Object(whole), Value::Object(part)) = (&mut whole, part) {
                whole.extend(part);
            }
        }
        whole
    }

    fn object(&mut self, schema: &Value, depth: u32) -> Value {
        let required = schema.get("required").and_then(Value::as_array);
        let names = required.into_iter().flatten().filter_map(Value::as_str);
        let mut object = Map::new();
        for name in names.take(MOST_VALUES as usize) {
            let property = schema.get("properties").and_then(|all| all.get(name));
            let value = self.value(property.unwrap_or(&Value::Null), depth + 1);
            object.insert(name.to_owned(), value);
        }
        Value::Object(object)
    }

    /// As few items as may be. A tuple (`prefixItems`; before 2020-12, a list as `items`) is whole.
    fn array(&mut self, schema: &Value, depth: u32) -> Value {
        let listed = list_at(schema, "prefixItems").or_else(|| list_at(schema, "items"));
        let tuple = listed.unwrap_or_default();
        let shortest = number_at(schema, "minItems").unwrap_or(0).min(LONGEST);
        let longest = number_at(schema, "maxItems").unwrap_or(LONGEST);
        let length = shortest.max(tuple.len() as u64).min(longest);
        let budget = u64::from(MOST_VALUES.saturating_sub(self.values));
        let item = schema.get("items").unwrap_or(&Value::Null);
        let schemas = tuple.iter().chain(std::iter::repeat(item));
        let count = usize::try_from(length.min(budget)).unwrap_or(usize::MAX);
        Value::Array(schemas.take(count).map(|item| self.value(item, depth + 1)).collect())
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let bound = |key| schema.get(key).and_then(Value::as_i64);
        let low = bound("minimum").or(bound("exclusiveMinimum").map(|low| low.saturating_add(1)));
        let high =
            bound("maximum").or(bound("exclusiveMaximum").map(|high| high.saturating_sub(1)));
        let low = low.unwrap_or_else(|| high.map_or(1, |high| high.min(1)));
        let high = high.unwrap_or_else(|| low.saturating_add(99)).max(low);
        let step = bound("multipleOf").filter(|step| *step > 0).unwrap_or(1);
        let drawn = self.draw.random_range(low..=high.min(low.saturating_add(99)));
        // The multiple at or above what was drawn, or else the one below, if that still fits.
        let above = drawn.saturating_add((step - drawn.rem_euclid(step)) % step);
        let below = drawn.saturating_sub(drawn.rem_euclid(step));
        Value::from(if above <= high { above } else { below })
    }

    fn number(&mut self, schema: &Value) -> Value {
        let bound = |key| schema.get(key).and_then(Value::as_f64);
        let low = bound("minimum").or(bound("exclusiveMinimum"));
        let high = bound("maximum").or(bound("exclusiveMaximum"));
        let low = low.unwrap_or_else(|| high.map_or(1.0, |high| high.min(2.0) - 1.0));
        let high = high.unwrap_or(low + 100.0).max(low);
        let middle = f64::midpoint(low, high);
        let step = bound("multipleOf").filter(|step| *step > 0.0);
        let multiple = step.map(|step| (middle / step).floor() * step).filter(|m| *m >= low);
        Value::from(multiple.unwrap_or(middle))
    }

    fn text(&mut self, schema: &Value) -> Value {
        let format = schema.get("format").and_then(Value::as_str);
        if let Some(sample) = format.and_then(sample_of_format) {
            return Value::from(sample);
        }
        let shortest = number_at(schema, "minLength").unwrap_or(0).min(LONGEST);
        let longest = number_at(schema, "maxLength").unwrap_or(LONGEST);
        let pattern = schema.get("pattern").and_then(Value::as_str);
        if let Some(text) = pattern.and_then(|p| pattern::text(p, shortest..=longest, self.draw)) {
            return Value::from(text);
        }
        let mut text = format!("squall-{:08x}", self.draw.random::<u32>());
        while (text.len() as u64) < shortest {
            text.push('x');
        }
        text.truncate(usize::try_from(longest).unwrap_or(usize::MAX));
        Value::from(text)
    }
}

/// A value that the schema itself names.
fn own_value(schema: &Value) -> Option<&Value> {
    let first = |key| schema.get(key)?.as_array()?.first();
    schema
        .get("const")
        .or_else(|| schema.get("default"))
        .or_else(|| first("examples"))
        .or_else(|| first("enum"))
}

fn is_typed(schema: &Value) -> bool {
    schema.get("type").is_some() || schema.get("properties").is_some()
}

fn list_at<'a>(schema: &'a Value, key: &str) -> Option<&'a [Value]> {
    schema.get(key)?.as_array().map(Vec::as_slice)
}

fn type_of(schema: &Value) -> &str {
    let named = match schema.get("type") {
        Some(Value::Array(types)) => types.first().and_then(Value::as_str),
        Some(named) => named.as_str(),
        None => None,
    };
    let shape = || schema.get("properties").map(|_| "object");
    named.or_else(shape).unwrap_or("string")
}

fn number_at(schema: &Value, key: &str) -> Option<u64> {
    schema.get(key).and_then(Value::as_u64)
}

fn sample_of_format(format: &str) -> Option<&'static str> {
    match format {
        "date" => Some("2025-01-01"),
        "date-time" => Some("2025-01-01T00:00:00Z"),
        "time" => Some("00:00:00Z"),
        "duration" => Some("PT1S"),
        "email" => Some("squall@example.org"),
        "json-string" => Some("{}"),
        "base64" | "base64url" => Some("c3F1YWxs"),
        "hostname" => Some("example.org"),
        "ipv4" | "ipvanyaddress" => Some("192.0.2.1"),
        "ipv6" => Some("2001:db8::1"),
        "uri" | "url" | "iri" | "uri-reference" => Some("https://example.org/"),
        "uuid" | "uuid4" => Some("00000000-0000-4000-8000-000000000001"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use squall_model::chance::{DrawKey, Seed};

    fn make(schema: &Value) -> Value {
        from_schema(schema, &mut Seed::new(1).draw("mix", DrawKey::Arrival(1)))
    }

    fn property(schema: &Value) -> Value {
        let schema = json!({"type": "object", "properties": {"x": schema}, "required": ["x"]});
        make(&schema)["x"].clone()
    }

    #[test]
    fn the_schemas_own_values_come_first() {
        for (schema, expected) in [
            (json!({"const": 5, "default": 6}), json!(5)),
            (json!({"type": "string", "default": "d", "enum": ["e"]}), json!("d")),
            (json!({"type": "string", "examples": ["ex"], "enum": ["e"]}), json!("ex")),
            (json!({"enum": ["first", "second"]}), json!("first")),
            (json!({"type": ["null", "string"]}), Value::Null),
            (json!({"anyOf": [{"const": 1}, {"const": 2}]}), json!(1)),
            (json!({"type": "string", "format": "date"}), json!("2025-01-01")),
        ] {
            assert_eq!(property(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn values_lie_within_their_bounds() {
        let integer = property(&json!({"type": "integer", "minimum": 7, "maximum": 9}));
        assert!((7..=9).contains(&integer.as_i64().expect("an integer")));
        let even = property(&json!({"type": "integer", "minimum": 3, "multipleOf": 4}));
        assert_eq!(even.as_i64().map(|even| even % 4), Some(0));
        let halves = property(&json!({"type": "number", "minimum": 0.25, "multipleOf": 0.5}));
        assert_eq!(halves.as_f64().map(|halves| halves % 0.5), Some(0.0));
        let number = property(&json!({"type": "number", "exclusiveMaximum": 0}));
        assert!(number.as_f64().is_some_and(|number| number < 0.0));
        let text = property(&json!({"type": "string", "minLength": 30, "maxLength": 30}));
        assert_eq!(text.as_str().map(str::len), Some(30));
        let array = property(&json!({"type": "array", "minItems": 2, "items": {"const": 1}}));
        assert_eq!(array, json!([1, 1]));
        assert!(property(&json!({"type": "boolean"})).is_boolean());
    }

    #[test]
    fn a_text_keeps_to_its_pattern() {
        let texts = |schema| property(&schema).as_str().expect("a text").to_owned();
        let sku = texts(json!({"type": "string", "pattern": r"^[A-Z]{3}-\d{4}$"}));
        let (letters, digits) = sku.split_once('-').expect("a hyphen");
        assert!(letters.len() == 3 && letters.bytes().all(|b| b.is_ascii_uppercase()), "{sku}");
        assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{sku}");
        let long = texts(json!({"type": "string", "pattern": "^[a-z]+$", "minLength": 10}));
        assert!(long.len() >= 10 && long.bytes().all(|b| b.is_ascii_lowercase()), "{long}");
        // What is beyond regular is left to the server to refuse.
        let ahead = texts(json!({"type": "string", "pattern": r"^(?=.*\d).+$"}));
        assert!(ahead.starts_with("squall-"), "{ahead}");
    }

    #[test]
    fn tuples_are_whole_whichever_draft_describes_them() {
        for schema in [
            json!({"type": "array", "prefixItems": [{"const": 1}, {"const": "b"}]}),
            json!({"type": "array", "items": [{"const": 1}, {"const": "b"}], "minItems": 2}),
            json!({"type": "array", "prefixItems": [{"const": 1}], "items": {"const": "b"}, "minItems": 2}),
        ] {
            assert_eq!(property(&schema), json!([1, "b"]), "{schema}");
        }
    }

    #[test]
    fn all_parts_of_an_object_are_given() {
        let part = |name: &str| json!({"type": "object", "required": [name], "properties": {name: {"const": 1}}});
        assert_eq!(property(&json!({"allOf": [part("a"), part("b")]})), json!({"a": 1, "b": 1}));
    }

    #[test]
    fn a_list_of_itself_ends_where_it_may() {
        let next = json!({"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]});
        let node = json!({"type": "object", "required": ["next"], "properties": {"next": next}});
        let schema = json!({
            "type": "object", "required": ["x"], "$defs": {"node": node},
            "properties": {"x": {"$ref": "#/$defs/node"}},
        });
        let mut node = &make(&schema)["x"];
        while !node.is_null() {
            assert!(node.get("next").is_some(), "a node without the required next: {node}");
            node = &node["next"];
        }
    }

    #[test]
    fn only_what_is_required_is_given() {
        let schema = json!({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"]});
        let made = make(&schema);
        assert!(made.get("a").is_none() && made["b"].is_string(), "{made}");
        for nothing in [json!({}), Value::Null, json!(true), json!({"type": "object"})] {
            assert_eq!(make(&nothing), json!({}));
        }
    }

    #[test]
    fn references_are_followed_and_one_to_itself_ends() {
        let schema = json!({
            "type": "object", "required": ["to", "me"],
            "properties": {"to": {"$ref": "#/$defs/t"}, "me": {"$ref": "#"}},
            "$defs": {"t": {"const": "there"}},
        });
        assert_eq!(make(&schema)["to"], "there");
    }

    #[test]
    fn a_schema_that_asks_for_the_world_gets_little() {
        let wide =
            json!({"type": "array", "minItems": 1u64 << 60, "items": {"$ref": "#/properties/x"}});
        let schema = json!({"type": "object", "required": ["x"], "properties": {"x": wide}});
        assert!(make(&schema).to_string().len() < 100_000);
        let long = property(&json!({"type": "string", "minLength": 1u64 << 60}));
        assert!(long.as_str().is_some_and(|text| text.len() < 10_000));
    }

    proptest! {
        #[test]
        fn no_bounds_of_an_integer_do_harm(
            low in any::<Option<i64>>(), high in any::<Option<i64>>(), step in any::<Option<i64>>(),
        ) {
            let schema = json!({"type": "integer", "minimum": low, "maximum": high, "multipleOf": step});
            prop_assert!(property(&schema).is_i64());
        }

        #[test]
        fn no_pattern_does_harm(pattern in r"[a-c(){}|*+?0-9,\[\]^$\\]{0,24}") {
            let text = property(&json!({"type": "string", "pattern": pattern}));
            prop_assert!(text.as_str().is_some_and(|text| text.len() < 10_000));
        }
    }
}
