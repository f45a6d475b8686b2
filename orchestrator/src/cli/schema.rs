//! `squall schema`: JSON Schemas, for editors and other programs.

use std::process::ExitCode;

use super::{Outcome, not_started, say};

/// Print the JSON Schema of what people write.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Of what
    of: Of,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Of {
    /// A fault, as files and the admin API take it
    Fault,
    /// The proxy's admin API, as an OpenAPI document
    Admin,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let schema = match arguments.of {
        Of::Fault => squall_model::fault::schema().to_value(),
        Of::Admin => squall_proxy::openapi(),
    };
    say(serde_json::to_string_pretty(&schema).map_err(not_started)?);
    Ok(ExitCode::SUCCESS)
}
