//! `cargo xtask bench`: what the proxy and the server cost, next to what others do. It measures, and decides
//! nothing.

use anyhow::{Result, ensure};

use crate::group;

mod bodies;
mod cpu;
mod delay;
mod events;
mod figures;
mod load;
mod server;
mod stand;

use figures::Figures;
use stand::Stand;

/// What is to be measured.
#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// The proxy next to nginx and haproxy, in front of the same origin, all taking turns.
    ///
    /// It needs wrk, nginx and haproxy. Figures compare within one run, and with no other.
    Proxy(Arguments),
    /// The test server next to nginx's fixed answer: calls, memory, notifications to 9,500 streams.
    ///
    /// It needs wrk, nginx and redis-server.
    Server(Arguments),
}

/// How long, and what of it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How often everything takes its turn
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=99), value_name = "N")]
    rounds: u32,
    /// How long each turn lasts, in seconds
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60), value_name = "N")]
    seconds: u32,
    /// Only these parts, of the proxy
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<Part>,
    /// A `squall` to measure, instead of a release build
    #[arg(long, value_name = "PATH")]
    binary: Option<std::path::PathBuf>,
    /// Print every figure as JSON lines, and no tables
    #[arg(long)]
    json: bool,
}

/// A part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Requests a second and CPU a request, on 32 connections
    Rate,
    /// What is added to the latency of one connection
    Latency,
    /// Bytes a second, in answers of 100 KB and 10 MB
    Bodies,
    /// How late a paced event arrives
    Events,
    /// How exact a latency fault is
    Delay,
}

impl Part {
    const ALL: &[Self] = &[Self::Rate, Self::Latency, Self::Bodies, Self::Events, Self::Delay];
}

/// Measures, and prints.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    let arguments = match bench {
        Bench::Proxy(arguments) => arguments,
        Bench::Server(arguments) => {
            show(&server::run(arguments)?, arguments.json);
            return Ok(());
        }
    };
    let stand = Stand::set_up(arguments.binary.as_deref())?;
    let parts = if arguments.only.is_empty() { Part::ALL } else { &arguments.only };
    for part in parts {
        ensure!(!group::is_ending(), "interrupted");
        let (rounds, seconds) = (arguments.rounds, arguments.seconds);
        let figures = match part {
            Part::Rate => load::rate(&stand, rounds, seconds)?,
            Part::Latency => load::latency(&stand, rounds, seconds)?,
            Part::Bodies => bodies::measure(&stand, rounds, seconds)?,
            Part::Events => events::measure(&stand, rounds)?,
            Part::Delay => delay::measure(&stand, rounds)?,
        };
        show(&figures, arguments.json);
    }
    Ok(())
}

fn show(all: &[Figures], as_json: bool) {
    for figures in all {
        if as_json {
            figures.print_json();
        } else {
            figures.print();
        }
    }
}
