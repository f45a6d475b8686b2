//! Bearer tokens: who has none, a wrong one or one that has expired is told what is needed.

use std::time::Duration;

use http::StatusCode;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use serde_json::json;

use crate::world::*;

async fn guarded() -> TestServer {
    server_with(|config| {
        config.token = Some("s3cret".to_owned());
        config.authorization_servers = vec!["https://auth.example".to_owned()];
    })
    .await
}

fn challenge(answer: &Answer) -> &str {
    answer.refuses(401, -32000, "bearer token");
    answer.header(WWW_AUTHENTICATE.as_str()).expect("a challenge")
}

#[tokio::test]
async fn a_request_without_a_token_is_told_where_to_get_one() {
    let server = guarded().await;
    let answer = server.post(initialize("2025-11-25")).send().await;
    let said = challenge(&answer);
    assert!(said.starts_with("Bearer resource_metadata=\"http://localhost/.well-known/"), "{said}");
    assert!(!said.contains("error="), "{said}");
    let path = "/.well-known/oauth-protected-resource/mcp";
    let metadata = server.probe(path).await.message();
    assert_eq!(metadata["authorization_servers"], json!(["https://auth.example"]));
    assert_eq!(metadata["resource"], "http://localhost/mcp");
}

#[tokio::test]
async fn a_wrong_token_is_no_token_and_the_right_one_lets_in() {
    let server = guarded().await;
    for wrong in ["Bearer s3cre", "Bearer s3cretx", "Basic s3cret", "s3cret"] {
        let ask = server.post(initialize("2025-11-25")).header(AUTHORIZATION, wrong);
        let answer = ask.send().await;
        let is_bearer = wrong.starts_with("Bearer ");
        assert_eq!(challenge(&answer).contains("unknown token"), is_bearer, "{wrong}");
    }
    for right in ["Bearer s3cret", "bearer s3cret"] {
        let ask = server.post(initialize("2025-11-25")).header(AUTHORIZATION, right);
        assert_eq!(ask.send().await.status, StatusCode::OK, "{right}");
    }
    assert_eq!(server.probe("/readyz").await.status, StatusCode::OK, "health needs no token");
}

#[tokio::test]
async fn a_token_that_has_expired_is_refused_as_such() {
    let server = server_with(|config| {
        config.token = Some("s3cret".to_owned());
        config.token_ttl = Some(Duration::ZERO);
    })
    .await;
    let ask = server.post(initialize("2025-11-25")).header(AUTHORIZATION, "Bearer s3cret");
    assert!(challenge(&ask.send().await).contains("expired token"));
}

#[tokio::test]
async fn a_server_without_a_token_describes_no_protected_resource() {
    let server = server().await;
    let answer = server.probe("/.well-known/oauth-protected-resource/mcp").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
