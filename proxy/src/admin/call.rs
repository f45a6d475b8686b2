//! A call of the admin API: what serves it and what its document says are one value.

use std::fmt;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{Admin, RefusalView};

/// One call.
pub(super) struct Call {
    method: Method,
    path: &'static str,
    says: &'static str,
    query: Option<SchemaOf>,
    takes: Option<(&'static str, SchemaOf)>,
    gives: Gives,
    serve: MethodRouter<Admin>,
}

/// Adds what it speaks of to the components, and gives a reference to it.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

struct Gives {
    status: u16,
    media: Option<&'static str>,
    schema: Option<SchemaOf>,
}

impl Call {
    /// A call that this handler serves. `says` is what it does, in a few words.
    fn new<T: 'static>(
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        handler: impl Handler<T, Admin>,
        says: &'static str,
    ) -> Self {
        let gives = Gives { status: 200, media: None, schema: None };
        let serve = on(filter, handler);
        Self { method, path, says, query: None, takes: None, gives, serve }
    }

    /// Parameters after the `?`: the fields of `T`.
    pub(super) fn queried<T: JsonSchema>(self) -> Self {
        Self { query: Some(schema_of::<T>), ..self }
    }

    /// A body of JSON.
    pub(super) fn takes<T: JsonSchema>(self) -> Self {
        Self { takes: Some((JSON, schema_of::<T>)), ..self }
    }

    /// A JSON merge patch of `T` (RFC 7396).
    pub(super) fn takes_patch<T: JsonSchema>(self) -> Self {
        Self { takes: Some(("application/merge-patch+json", schema_of::<T>)), ..self }
    }

    /// An answer of JSON.
    pub(super) fn gives<T: JsonSchema>(self) -> Self {
        let gives = Gives { media: Some(JSON), schema: Some(schema_of::<T>), ..self.gives };
        Self { gives, ..self }
    }

    /// An answer of this type, which is not JSON.
    pub(super) fn gives_text(self, media: &'static str) -> Self {
        Self { gives: Gives { media: Some(media), ..self.gives }, ..self }
    }

    /// The status of a call that was done, where it is not 200.
    pub(super) fn with_status(self, status: u16) -> Self {
        Self { gives: Gives { status, ..self.gives }, ..self }
    }

    fn document(&self, generator: &mut SchemaGenerator) -> Value {
        let parameters: Vec<Value> = self
            .path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .chain(self.query.into_iter().flat_map(|query| in_query(query, generator)))
            .collect();
        let gives = &self.gives;
        let mut done = json!({ "description": "Done" });
        if let Some(media) = gives.media {
            let schema = gives
                .schema
                .map_or(json!({ "type": "string" }), |schema| schema(generator).to_value());
            done["content"] = json!({ media: { "schema": schema } });
        }
        let refused = generator.subschema_for::<RefusalView>();
        let mut document = json!({
            "operationId": self.name(),
            "summary": self.says,
            "tags": [self.tag()],
            "responses": {
                gives.status.to_string(): done,
                "default": {
                    "description": "Not done, and why",
                    "content": { JSON: { "schema": refused } },
                },
            },
        });
        if !parameters.is_empty() {
            document["parameters"] = Value::Array(parameters);
        }
        if let Some((media, schema)) = self.takes {
            document["requestBody"] =
                json!({ "content": { media: { "schema": schema(generator) } } });
        }
        document
    }

    fn tag(&self) -> &str {
        self.path.split('/').nth(1).filter(|first| !first.is_empty()).unwrap_or("page")
    }

    /// `get_faults_id` for `GET /faults/{id}`.
    fn name(&self) -> String {
        let words = self.path.split('/').map(|word| word.trim_matches(['{', '}']));
        let words = words.filter(|word| !word.is_empty()).map(|word| word.replace('.', "_"));
        std::iter::once(self.method.as_str().to_lowercase())
            .chain(words)
            .collect::<Vec<_>>()
            .join("_")
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

macro_rules! methods {
    ($($name:ident $method:ident,)*) => {
        $(
            pub(super) fn $name<T: 'static>(
                path: &'static str,
                handler: impl Handler<T, Admin>,
                says: &'static str,
            ) -> Call {
                Call::new(Method::$method, MethodFilter::$method, path, handler, says)
            }
        )*
    };
}

methods! {
    get GET,
    post POST,
    put PUT,
    patch PATCH,
    delete DELETE,
}

/// What serves them all.
pub(super) fn router(calls: Vec<Call>) -> Router<Admin> {
    calls.into_iter().fold(Router::new(), |router, call| router.route(call.path, call.serve))
}

/// What says them all: an OpenAPI 3.1 document.
pub(super) fn document(calls: &[Call]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for call in calls {
        let document = call.document(&mut generator);
        let path = paths.entry(call.path).or_insert_with(|| json!({}));
        path[call.method.as_str().to_lowercase()] = document;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Squall proxy: admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Faults, routes, upstreams and sessions of a running proxy. \
                `/version`, `/proxies`, `/populate` and `/reset` are Toxiproxy's API.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:8474" }],
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "What `--admin-token` says, where it is given",
                },
            },
        },
    })
}

const JSON: &str = "application/json";

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The fields of what is queried, as parameters of their own.
fn in_query(query: SchemaOf, generator: &mut SchemaGenerator) -> Vec<Value> {
    let reference = query(generator).to_value();
    let name = reference["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    let Some(schema) = name.and_then(|name| generator.definitions_mut().remove(name)) else {
        return Vec::new();
    };
    let fields = schema["properties"].as_object().into_iter().flatten();
    let parameter = |(name, schema): (&String, &Value)| {
        let (mut schema, says) = (schema.clone(), schema["description"].clone());
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("description");
        }
        json!({ "name": name, "in": "query", "description": says, "schema": schema })
    };
    fields.map(parameter).collect()
}
