//! How an operation's end is recorded, for every way in which it can end.

use std::time::Duration;

use http::Method;
use serde_json::json;
use squall_loadgen::{Mix, Plan, Sample, Threshold};
use squall_model::history::{Cause, Outcome};

use crate::run::{Run, plan, run};
use crate::server::{Act, Seen, server};

/// One session; the first call or ping ends as scripted, the second one well.
async fn first(mix: &str, act: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Run {
    let script = move |seen: &Seen| {
        let is_workload = seen.is_call() || seen.method() == "ping";
        if is_workload && seen.nth == 1 { act(seen) } else { Act::AsUsual }
    };
    let server = server().that(script).run().await;
    let mix: Mix = mix.parse().expect("a mix");
    let run = run(Plan {
        mix,
        // Only a server that hangs takes so long.
        timeout: Duration::from_secs(2),
        ..plan(&server.target, 1, 2)
    })
    .await;
    let [_, second] = &run.outcomes()[..] else {
        panic!("two operations: {:?}", run.outcomes());
    };
    assert_eq!(second, "Ok", "the next operation is none the worse for it");
    assert_eq!(server.seen_of("initialize").len(), 1, "no new session");
    let tries = server.seen_of("tools/call").len() + server.seen_of("ping").len();
    assert_eq!(tries, 2, "no retry");
    run
}

async fn call(act: fn() -> Act) -> Outcome {
    let run = first("fast-echo=1", move |_| act()).await;
    run.workload()[0].outcome.clone()
}

async fn ping(act: fn() -> Act) -> Outcome {
    let run = first("ping=1", move |_| act()).await;
    run.workload()[0].outcome.clone()
}

fn protocol(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed(Cause::Protocol(what)) => what,
        other => panic!("not a breach: {other:?}"),
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_a_call_unknown_and_fails_a_read() {
    for (act, cause) in [
        ((|| Act::Hang) as fn() -> Act, Cause::Timeout),
        (|| Act::Reset, Cause::Reset),
        (|| Act::Close, Cause::Closed),
        (|| Act::CutStream, Cause::StreamCut),
        (|| Act::Events(vec![": nothing\n\n".into()]), Cause::StreamCut),
    ] {
        assert_eq!(call(act).await, Outcome::Unknown(cause.clone()));
        assert_eq!(ping(act).await, Outcome::Failed(cause));
    }
}

#[tokio::test]
async fn a_status_other_than_200_is_a_failure_and_no_lost_session() {
    for code in [202, 204, 400, 401, 403, 429, 500, 503] {
        let run = first("fast-echo=1", move |_| Act::Status(code)).await;
        let expected = Outcome::Failed(Cause::Http(code));
        assert_eq!(run.workload()[0].outcome, expected);
    }
}

#[tokio::test]
async fn a_gateways_word_tells_whether_a_call_may_have_been_executed() {
    let word = "x-squall-upstream-error";
    let refused = call(|| Act::Header(502, "x-squall-upstream-error", "refused")).await;
    assert_eq!(refused, Outcome::Failed(Cause::Gateway("refused".into())), "{word}");
    let reset = call(|| Act::Header(502, "x-squall-upstream-error", "reset")).await;
    assert_eq!(reset, Outcome::Unknown(Cause::Gateway("reset".into())), "{word}");
    let other = call(|| Act::Header(500, "x-squall-upstream-error", "reset")).await;
    assert_eq!(other, Outcome::Failed(Cause::Http(500)), "{word}");
}

#[tokio::test]
async fn an_error_text_is_no_success() {
    let run = first("fast-echo=1", |seen| {
        let id = &seen.body["id"];
        let result = r#"{"content":[{"type":"text","text":"Error"}],"isError":true}"#;
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        Act::Say("application/json", text)
    })
    .await;
    assert_eq!(run.workload()[0].outcome, Outcome::Failed(Cause::ToolError));
}

#[tokio::test]
async fn a_json_rpc_error_is_recorded_by_its_code() {
    let run = first("ping=1", |seen| {
        let id = &seen.body["id"];
        let text =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32001,"message":""}}}}"#);
        Act::Say("application/json; charset=utf-8", text)
    })
    .await;
    assert_eq!(run.workload()[0].outcome, Outcome::Failed(Cause::JsonRpc(-32001)));
}

#[tokio::test]
async fn an_answer_in_a_stream_counts_whatever_comes_before_it() {
    let run = first("fast-echo=1", |_| {
        let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;
        let asks = r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#;
        Act::Events(vec![
            "id: 1\ndata:\n\n: comment\n\n".into(),
            format!("event: message\r\ndata: {progress}\r\n\r\n"),
            format!("data: {asks}\n\n"),
            "data: RESULT\n\n".into(),
        ])
    })
    .await;
    assert_eq!(run.outcomes(), ["Ok", "Ok"]);
}

#[tokio::test]
async fn a_server_that_asks_before_it_answers_is_answered_in_its_session() {
    for (method, id, member) in
        [("ping", json!("p-1"), "result"), ("sampling/createMessage", json!(0), "error")]
    {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {}});
        let script = move |seen: &Seen| {
            if seen.is_call() { Act::Ask(request.clone()) } else { Act::AsUsual }
        };
        let server = server().that(script).run().await;
        let run = run(plan(&server.target, 1, 1)).await;
        assert_eq!(run.outcomes(), ["Ok"], "{method}");
        let seen = server.seen();
        let answer = seen.iter().find(|seen| seen.body.get(member).is_some());
        let answer = answer.unwrap_or_else(|| panic!("no {member} to {method}: {seen:?}"));
        assert_eq!(answer.body["id"], id);
        assert_eq!(answer.header("mcp-session-id"), Some("session-1"));
    }
}

#[tokio::test]
async fn a_stream_that_the_server_ends_to_be_polled_is_taken_up_where_it_was_left() {
    let script = |seen: &Seen| match (&seen.http, seen.header("last-event-id")) {
        _ if seen.is_call() => Act::Events(vec!["id: a-1\nretry: 20\ndata:\n\n".into()]),
        (&Method::GET, Some("a-1")) => Act::Events(vec!["id: a-2\ndata:\n\n".into()]),
        (&Method::GET, Some("a-2")) => {
            let result = r#"{"jsonrpc":"2.0","id":3,"result":{"content":[]}}"#;
            Act::Events(vec![format!("id: a-3\ndata: {result}\n\n")])
        }
        _ => Act::AsUsual,
    };
    let server = server().that(script).run().await;
    let run = run(plan(&server.target, 1, 1)).await;
    let calls = server.seen_of("tools/call");
    assert_eq!(calls.len(), 1, "the call is not repeated");
    assert_eq!(calls[0].body["id"], 3, "the answer is for this id");
    assert_eq!(run.outcomes(), ["Ok"]);
    let mut polls = server.seen();
    polls.retain(|seen| seen.http == Method::GET);
    assert_eq!(polls.len(), 2);
    assert!(polls.iter().all(|poll| poll.header("mcp-session-id") == Some("session-1")));
}

#[tokio::test]
async fn a_stream_that_cannot_be_taken_up_is_cut() {
    for code in [404, 405, 500] {
        let script = move |seen: &Seen| match seen.http {
            _ if seen.is_call() => Act::Events(vec!["id: a-1\nretry: 20\ndata:\n\n".into()]),
            Method::GET => Act::Status(code),
            _ => Act::AsUsual,
        };
        let server = server().that(script).run().await;
        let run = run(plan(&server.target, 1, 1)).await;
        assert_eq!(run.workload()[0].outcome, Outcome::Unknown(Cause::StreamCut), "{code}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_the_protocol_is_recorded_as_such() {
    let result = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
    let html = call(|| Act::Say("text/html", "<html>".into())).await;
    assert_eq!(protocol(&html), "content type text/html");
    let broken = call(|| Act::Say("application/json", "{".into())).await;
    assert_eq!(protocol(&broken), "broken JSON");
    let empty = call(|| Act::Say("application/json", String::new())).await;
    assert_eq!(protocol(&empty), "empty body");
    let nothing = call(|| Act::Status(200)).await;
    assert_eq!(protocol(&nothing), "empty body");
    let other = first("ping=1", move |_| Act::Say("application/json", result("999"))).await;
    assert_eq!(protocol(&other.workload()[0].outcome), "answer has another id");
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let large = call(|| Act::Say("application/json", " ".repeat(17 << 20))).await;
    assert_eq!(protocol(&large), "answer over 16 MiB");
    let stream = call(|| Act::Events(vec![format!(":{}\n\n", "x".repeat(17 << 20))])).await;
    assert_eq!(protocol(&stream), "answer over 16 MiB");
}

#[tokio::test]
async fn the_faults_that_touched_an_answer_are_named() {
    let run = first("ping=1", |_| Act::Header(503, "x-squall-fault", "slow, cut")).await;
    let named: Vec<_> = run.workload()[0].faults.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["slow", "cut"]);
    assert!(run.workload()[1].faults.is_empty());
}

#[tokio::test]
async fn a_server_that_fails_every_call_leaves_no_success() {
    let server = server().that(|seen| if seen.is_call() { Act::Status(500) } else { Act::AsUsual });
    let server = server.run().await;
    let run = run(plan(&server.target, 4, 40)).await;
    assert!(run.summary.success_ratio() < f64::EPSILON);
    assert_eq!((run.summary.totals.operations, run.summary.totals.failed), (40, 40));
    assert_eq!(run.summary.errors["HTTP 500"], 40);
    let samples = run.workload().into_iter().map(|op| Sample::of(op, None));
    assert!(!Threshold::standard().evaluate(samples).holds);
}
