//! Streamable HTTP: from a request's path and method to the one who answers it.

mod accept;
mod intake;
mod mirror;
mod origin;
mod refusal;
mod reply;
mod session_era;
mod stateless_era;
mod token;

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use serde_json::value::RawValue;
use squall_model::mcp::ENDPOINT;
use squall_model::mcp::envelope::{Envelope, Kind};
use tokio::time::Instant;

use crate::methods::clip;
use crate::rpc;
use crate::server::Server;
use refusal::Refusal;
pub(crate) use reply::Reply;

/// Media types of what is not MCP.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON_LINES: &str = "application/x-ndjson";

/// Answers one HTTP request, whatever it is.
pub(crate) async fn serve(
    server: Arc<Server>,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    server.stats.requests.increase();
    let reply = route(&server, request).await.unwrap_or_else(|refusal| {
        tracing::debug!(%refusal, "request refused");
        refusal.reply(None)
    });
    if reply.status().is_client_error() || reply.status().is_server_error() {
        server.stats.errors.increase();
    }
    Ok(reply)
}

async fn route(server: &Arc<Server>, request: Request<Incoming>) -> Result<Reply, Refusal> {
    match request.uri().path() {
        ENDPOINT => endpoint(server, request).await,
        "/healthz" => health(server, request.method(), "ok"),
        "/readyz" => {
            check_ready(server)?;
            let status = if server.store.health().up { "ready" } else { "degraded" };
            health(server, request.method(), status)
        }
        "/metrics" => {
            needs_get(request.method())?;
            let text = server.metrics.text(server).await;
            Ok(reply::text(METRICS, text.into()))
        }
        token::METADATA if server.config.token.is_some() => {
            needs_get(request.method())?;
            let metadata = token::metadata(server, request.headers());
            Ok(reply::json(StatusCode::OK, metadata.to_string().into()))
        }
        path => Err(Refusal::Path(clip(path))),
    }
}

/// From what is known anyway: a probe asks nothing of Redis.
fn check_ready(server: &Server) -> Result<(), Refusal> {
    if server.drain.is_cancelled() {
        return Err(Refusal::Stopping);
    }
    let store = server.store.health();
    match (store.up, store.serves()) {
        (_, false) => Err(Refusal::StoreDown),
        (true, _) if !server.bus.is_up() => Err(Refusal::Deaf),
        _ => Ok(()),
    }
}

fn needs_get(method: &Method) -> Result<(), Refusal> {
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    Err(Refusal::Method { found: clip(method.as_str()), allowed: "GET, HEAD" })
}

/// Answers a request to the admin listener: the journals, and the metrics.
pub(crate) async fn serve_admin(
    server: Arc<Server>,
    request: Request<Incoming>,
) -> Result<Reply, Infallible> {
    let reply = admin(&server, &request).await;
    Ok(reply.unwrap_or_else(|refusal| refusal.reply(None)))
}

async fn admin(server: &Arc<Server>, request: &Request<Incoming>) -> Result<Reply, Refusal> {
    origin::check(request.headers(), &[])?;
    needs_get(request.method())?;
    match request.uri().path() {
        "/journal/executions" => Ok(reply::text(JSON_LINES, server.journal.executions().into())),
        "/journal/publications" => {
            Ok(reply::text(JSON_LINES, server.journal.publications().into()))
        }
        "/metrics" => Ok(reply::text(METRICS, server.metrics.text(server).await.into())),
        path => Err(Refusal::AdminPath(clip(path))),
    }
}

fn health(server: &Server, method: &Method, status: &str) -> Result<Reply, Refusal> {
    needs_get(method)?;
    let store = server.store.health();
    let body = json!({ "status": status, "id": server.config.id, "store": store });
    Ok(reply::json(StatusCode::OK, body.to_string().into()))
}

async fn endpoint(server: &Arc<Server>, request: Request<Incoming>) -> Result<Reply, Refusal> {
    origin::check(request.headers(), &server.config.allowed_origins)?;
    token::check(server, request.headers())?;
    let (head, body) = request.into_parts();
    match head.method {
        Method::POST => {
            let body = intake::read(&head.headers, body, &server.config).await?;
            post(server, &head.headers, &body).await
        }
        // Nothing but POST exists in that era.
        method if stateless_era::is_meant_by(&head.headers) => {
            Err(Refusal::Method { found: clip(method.as_str()), allowed: "POST" })
        }
        Method::GET => session_era::get(server, &head.headers).await,
        Method::DELETE => session_era::delete(server, &head.headers).await,
        method => {
            Err(Refusal::Method { found: clip(method.as_str()), allowed: "GET, POST, DELETE" })
        }
    }
}

/// A POST of either era: what is refused is answered with the request's id, where it has one.
async fn post(server: &Arc<Server>, headers: &HeaderMap, body: &[u8]) -> Result<Reply, Refusal> {
    let begun = Instant::now();
    let envelope = Envelope::peek(body).map_err(Refusal::Body)?;
    let answered = if server.stop.is_cancelled() && has_request(&envelope) {
        Err(Refusal::Stopping)
    } else if stateless_era::is_spoken(headers, &envelope) {
        stateless_era::post(server, headers, &envelope).await
    } else {
        session_era::post(server, headers, &envelope).await
    };
    if let Envelope::Single(message) = &envelope
        && message.kind == Kind::Request
    {
        let method = message.method.as_deref().unwrap_or_default();
        server.metrics.answered(method, begun.elapsed());
    }
    Ok(answered.unwrap_or_else(|refusal| {
        tracing::debug!(%refusal, "message refused");
        refusal.reply(id_of_request(&envelope))
    }))
}

/// Whether it begins anything: answers and notifications may be what a call in flight waits for.
fn has_request(envelope: &Envelope<'_>) -> bool {
    let messages = match envelope {
        Envelope::Single(message) => std::slice::from_ref(message),
        Envelope::Batch(messages) => messages,
    };
    messages.iter().any(|message| message.kind == Kind::Request)
}

fn id_of_request<'a>(envelope: &Envelope<'a>) -> Option<&'a RawValue> {
    match envelope {
        Envelope::Single(message) if message.kind == Kind::Request => {
            message.id.filter(|id| rpc::is_valid_id(id))
        }
        _ => None,
    }
}
