//! Arguments for a tool, made from its input schema (JSON Schema 2020-12) and a draw.

use rand::RngExt as _;
use serde_json::{Map, Value};
use squall_model::chance::Draw;

/// How deep a schema is followed, references included.
const DEEPEST: u32 = 12;
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
        if let Some(inner) = self.referred(schema) {
            return self.value(&inner, depth + 1);
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

    /// A local `$ref`, or the first alternative, where the schema is only that.
    fn referred(&self, schema: &Value) -> Option<Value> {
        if let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
            return self.root.pointer(pointer.strip_prefix('#')?).cloned();
        }
        if schema.get("type").is_some() || schema.get("properties").is_some() {
            return None;
        }
        let alternatives = ["anyOf", "oneOf", "allOf"];
        let first = |key| schema.get(key)?.as_array()?.first().cloned();
        alternatives.into_iter().find_map(first)
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

    fn array(&mut self, schema: &Value, depth: u32) -> Value {
        let length = number_at(schema, "minItems").unwrap_or(0).min(LONGEST);
        let item = schema.get("items").unwrap_or(&Value::Null);
        let budget = u64::from(MOST_VALUES.saturating_sub(self.values));
        let items = (0..length.min(budget)).map(|_| self.value(item, depth + 1));
        Value::Array(items.collect())
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
        Value::from(f64::midpoint(low, high))
    }

    fn text(&mut self, schema: &Value) -> Value {
        let format = schema.get("format").and_then(Value::as_str);
        if let Some(sample) = format.and_then(sample_of_format) {
            return Value::from(sample);
        }
        let mut text = format!("squall-{:08x}", self.draw.random::<u32>());
        let shortest = number_at(schema, "minLength").unwrap_or(0).min(LONGEST);
        while (text.len() as u64) < shortest {
            text.push('x');
        }
        let longest = number_at(schema, "maxLength").unwrap_or(LONGEST);
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
        "hostname" => Some("example.org"),
        "ipv4" => Some("192.0.2.1"),
        "ipv6" => Some("2001:db8::1"),
        "uri" | "url" => Some("https://example.org/"),
        "uuid" => Some("00000000-0000-4000-8000-000000000001"),
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
        let number = property(&json!({"type": "number", "exclusiveMaximum": 0}));
        assert!(number.as_f64().is_some_and(|number| number < 0.0));
        let text = property(&json!({"type": "string", "minLength": 30, "maxLength": 30}));
        assert_eq!(text.as_str().map(str::len), Some(30));
        let array = property(&json!({"type": "array", "minItems": 2, "items": {"const": 1}}));
        assert_eq!(array, json!([1, 1]));
        assert!(property(&json!({"type": "boolean"})).is_boolean());
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
    }
}
