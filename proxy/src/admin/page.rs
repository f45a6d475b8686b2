//! `/`: the page for people who toggle faults by hand. It is all here, and comes from nowhere else.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Admin;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// THE list of its files: where each is found, and what it is.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("page/index.html")),
    ("/page/style.css", CSS, include_str!("page/style.css")),
    ("/page/page.js", JS, include_str!("page/page.js")),
    ("/page/api.js", JS, include_str!("page/api.js")),
    ("/page/form.js", JS, include_str!("page/form.js")),
];

pub(super) fn routes() -> Router<Admin> {
    FILES.iter().fold(Router::new(), |router, (path, kind, text)| {
        router.route(path, get(async || file(kind, text)))
    })
}

/// Whether the path is one of the page's files, which say nothing that needs a token.
pub(super) fn is_file(path: &str) -> bool {
    FILES.iter().any(|(file, ..)| *file == path)
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                  img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
