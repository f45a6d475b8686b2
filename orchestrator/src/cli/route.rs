//! `squall route`: the TCP routes of a running proxy.

use std::process::ExitCode;

use clap::Subcommand;
use squall_proxy::client::{ChangedRoute, NewRoute, RouteView};
use squall_proxy::config::TcpRoute;

use super::admin::{AdminArguments, failure, say_json, table};
use super::{Failure, Outcome, runtime, say};

/// Make, change and remove the TCP routes of a running proxy.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    admin: AdminArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the routes, and what they carry
    List,
    /// Make a route for what is not HTTP
    Add {
        /// Its name, where clients connect (port 0 takes a free one), and what is behind it
        #[arg(value_name = "NAME=HOST:PORT/HOST:PORT")]
        route: TcpRoute,
    },
    /// Let a route listen again
    Enable {
        /// Its name
        name: String,
    },
    /// End what a route carries, and refuse connections
    Disable {
        /// Its name
        name: String,
    },
    /// Remove a route, and end what it carries
    Rm {
        /// Its name
        name: String,
    },
}

pub(super) fn run(arguments: Arguments) -> Outcome {
    runtime()?.block_on(call(arguments))
}

async fn call(arguments: Arguments) -> Outcome {
    let client = arguments.admin.client();
    let switch = |enabled| ChangedRoute { enabled: Some(enabled), ..ChangedRoute::default() };
    let routes = match arguments.command {
        Command::List => client.routes().await,
        Command::Add { route } => client.add_route(&new(&route)).await.map(|view| vec![view]),
        Command::Enable { name } => {
            client.change_route(&name, &switch(true)).await.map(|view| vec![view])
        }
        Command::Disable { name } => {
            client.change_route(&name, &switch(false)).await.map(|view| vec![view])
        }
        Command::Rm { name } => client.remove_route(&name).await.map(|view| vec![view]),
    };
    show(&routes.map_err(failure)?, arguments.admin.json)?;
    Ok(ExitCode::SUCCESS)
}

fn new(route: &TcpRoute) -> NewRoute {
    NewRoute {
        name: route.name().to_owned(),
        listen: route.listen().to_owned(),
        upstream: route.upstream().to_owned(),
        enabled: true,
    }
}

fn show(routes: &[RouteView], as_json: bool) -> Result<(), Failure> {
    if as_json {
        return say_json(&routes);
    }
    if routes.is_empty() {
        say("no routes");
        return Ok(());
    }
    let mut rows = table(["NAME", "LISTEN", "UPSTREAM", "STATE", "OPEN", "BYTES UP", "DOWN"]);
    for route in routes {
        rows.add_row([
            route.name.clone(),
            route.listen.clone(),
            route.upstream.clone(),
            if route.enabled { "on" } else { "off" }.to_owned(),
            route.open.to_string(),
            route.bytes_up.to_string(),
            route.bytes_down.to_string(),
        ]);
    }
    say(rows);
    Ok(())
}
