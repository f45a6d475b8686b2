//! `squall upstream`: the replicas behind a running proxy.

use std::process::ExitCode;

use clap::Subcommand;

use super::admin::{AdminArguments, failure, say_json, table};
use super::{Outcome, runtime, say};

/// List and drain the replicas behind a running proxy.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    admin: AdminArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the replicas
    List,
    /// Let a replica get nothing new; its own sessions go on
    Drain {
        /// Its number
        number: usize,
    },
    /// Let a replica get new sessions again
    Undrain {
        /// Its number
        number: usize,
    },
}

pub(super) fn run(arguments: Arguments) -> Outcome {
    runtime()?.block_on(call(arguments))
}

async fn call(arguments: Arguments) -> Outcome {
    let client = arguments.admin.client();
    let upstreams = match arguments.command {
        Command::List => client.upstreams().await,
        Command::Drain { number } => client.drain(number, true).await.map(|view| vec![view]),
        Command::Undrain { number } => client.drain(number, false).await.map(|view| vec![view]),
    };
    let upstreams = upstreams.map_err(failure)?;
    if arguments.admin.json {
        say_json(&upstreams)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(["NUMBER", "UPSTREAM", "STATE"]);
    for upstream in &upstreams {
        let state = match (upstream.passed_over, upstream.draining) {
            (true, true) => "passed over, draining",
            (true, false) => "passed over",
            (false, true) => "draining",
            (false, false) => "up",
        };
        rows.add_row([&upstream.number.to_string(), &upstream.address, state]);
    }
    say(rows);
    Ok(ExitCode::SUCCESS)
}
