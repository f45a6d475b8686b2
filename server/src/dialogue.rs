//! How the server asks its client in the session era: by requests of its own, which go out on the stream
//! of the answer that needs them, or else on the session's GET stream, and whose answers come as POSTs, to
//! whichever replica (basic/transports, sending messages to the server).

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::bus::{PublishError, Target};
use crate::input::Ask;
use crate::pending::{ClientAnswer, Question};
use crate::rpc;
use crate::server::Server;
use crate::store::SessionId;
use crate::tools::Caller;

/// Why a client's answer is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialogueError {
    #[error(
        "the client cannot be asked anything: it takes no stream as an answer, and has no GET stream open"
    )]
    NoStream,
    #[error("the client cannot be asked anything")]
    NotPublished(#[from] PublishError),
    #[error("the client cannot answer any more")]
    Gone,
    #[error("the client did not answer `{0}` within {1:?}")]
    Late(&'static str, std::time::Duration),
    #[error("the client answered `{method}` with an error: {error}")]
    Refused { method: &'static str, error: Value },
}

/// Asks a session's client, everything at once, and waits for all that it answers.
pub(crate) async fn ask(
    server: &Arc<Server>,
    session: SessionId,
    caller: &Caller,
    ask: &Ask,
) -> Result<Map<String, Value>, DialogueError> {
    let mut questions = Vec::new();
    for (key, request) in &ask.requests {
        let question = server.desk.pending.ask(session);
        send(server, session, caller, &question, request.method, &request.params).await?;
        questions.push((*key, request.method, question));
    }
    let deadline = server.config.input_deadline;
    let mut answers = Map::new();
    for (key, method, mut question) in questions {
        let answer = timeout(deadline, question.answer()).await;
        let answer = answer.map_err(|_| DialogueError::Late(method, deadline))?;
        match answer.ok_or(DialogueError::Gone)? {
            ClientAnswer::Result(result) => answers.insert(key.to_owned(), result),
            ClientAnswer::Error(error) => {
                return Err(DialogueError::Refused { method, error });
            }
        };
    }
    Ok(answers)
}

async fn send(
    server: &Arc<Server>,
    session: SessionId,
    caller: &Caller,
    question: &Question<'_>,
    method: &str,
    params: &Value,
) -> Result<(), DialogueError> {
    let request = rpc::raw_request(&question.id(), method, params);
    if let Some(events) = caller.events() {
        events.say(request.get());
        return Ok(());
    }
    let reach = server.bus.publish(Target::Session(session), &request).await?;
    // Of other replicas' streams this one hears nothing: then it can only wait.
    if reach.streams == 0 && reach.replicas < 2 {
        return Err(DialogueError::NoStream);
    }
    Ok(())
}
