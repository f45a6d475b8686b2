//! THE list of clients that somebody else wrote: those of MCP, each run against `squall server`, directly
//! and through `squall proxy`; the public conformance suite for servers; and the clients of Toxiproxy, run
//! against the proxy's admin API.

mod node;
mod python;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::binary;
use crate::command::{Ended, run};
use crate::part::{Part, with_tests};
use crate::replica::Replica;
use crate::root;

const INSTALL_DEADLINE: Duration = Duration::from_secs(10 * 60);
const CLIENT_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// A client.
#[derive(Clone, Copy, PartialEq)]
enum Peer {
    Python,
    Typescript,
    /// Its second line, which speaks both eras.
    Typescript2,
    Conformance,
    ToxiproxyPython,
    ToxiproxyNode,
}

/// A client that can be run: the command lacks the URL only.
struct Installed(Vec<PathBuf>);

impl Peer {
    const ALL: [Self; 6] = [
        Self::Python,
        Self::Typescript,
        Self::Typescript2,
        Self::Conformance,
        Self::ToxiproxyPython,
        Self::ToxiproxyNode,
    ];

    fn name(self, way: &str) -> String {
        let client = match self {
            Self::Python => "python client",
            Self::Typescript => "typescript client",
            Self::Typescript2 => "typescript client 2",
            Self::Conformance => "conformance suite",
            Self::ToxiproxyPython => "toxiproxy's python client",
            Self::ToxiproxyNode => "toxiproxy's node client",
        };
        format!("{client}, {way}")
    }

    /// What it is run against.
    fn ways(self) -> &'static [&'static str] {
        match self {
            Self::Python | Self::Typescript | Self::Typescript2 => &["direct", "through the proxy"],
            Self::Conformance => &["direct"],
            Self::ToxiproxyPython | Self::ToxiproxyNode => &["admin API"],
        }
    }

    /// The server that it is run against.
    fn server(self) -> &'static [&'static str] {
        match self {
            Self::Conformance => &["server", "--listen", "127.0.0.1:0", "--fixtures"],
            _ => &["server", "--listen", "127.0.0.1:0"],
        }
    }

    /// The word for what it lives on in `SQUALL_REQUIRE`.
    fn need(self) -> &'static str {
        match self {
            Self::Python | Self::ToxiproxyPython => "python",
            Self::Typescript | Self::Typescript2 | Self::Conformance | Self::ToxiproxyNode => {
                "node"
            }
        }
    }

    fn install(self) -> Result<Installed> {
        match self {
            Self::Python => python::install("python"),
            Self::Typescript => node::install("typescript"),
            Self::Typescript2 => node::install("typescript-2"),
            Self::Conformance => node::install("conformance"),
            Self::ToxiproxyPython => python::install("toxiproxy-python"),
            Self::ToxiproxyNode => node::install("toxiproxy-node"),
        }
    }
}

/// Runs every client against both.
pub(crate) fn run_all() -> Vec<Part> {
    let required = env::var("SQUALL_REQUIRE").unwrap_or_default();
    let squall = binary::for_tests();
    let run_one = |peer: Peer| match (peer.install(), &squall) {
        (Err(error), _) => each_way(peer, |way| {
            Part::lacking(peer.name(way), peer.need(), format!("{error:#}"), &required)
        }),
        (Ok(_), Err(error)) => each_way(peer, |way| failure(peer, way, error)),
        (Ok(client), Ok(squall)) => against(peer, &client, squall),
    };
    Peer::ALL.into_iter().flat_map(run_one).collect()
}

fn each_way(peer: Peer, part: impl Fn(&str) -> Part) -> Vec<Part> {
    peer.ways().iter().map(|way| part(way)).collect()
}

fn failure(peer: Peer, way: &str, error: &anyhow::Error) -> Part {
    Part::of(peer.name(way), Err(anyhow::anyhow!("{error:#}")))
}

fn against(peer: Peer, client: &Installed, squall: &Path) -> Vec<Part> {
    let server = match Replica::start(squall, peer.server()) {
        Ok(server) => server,
        Err(error) => return each_way(peer, |way| failure(peer, way, &error)),
    };
    each_way(peer, |way| {
        let ended = match way {
            "direct" => talk(client, &format!("{}/mcp", server.base)),
            "admin API" => to_admin(client, squall),
            _ => through_proxy(client, squall, &server),
        };
        Part::of(peer.name(way), with_tests(ended))
    })
}

fn through_proxy(client: &Installed, squall: &Path, server: &Replica) -> Result<Ended> {
    let arguments =
        ["proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", &server.base];
    let proxy = Replica::start(squall, &arguments)?;
    talk(client, &format!("{}/mcp", proxy.base))
}

/// The client speaks to the admin API of a proxy that has nothing behind it.
fn to_admin(client: &Installed, squall: &Path) -> Result<Ended> {
    let nothing = root().join("tests/peers/nothing.json");
    let nothing = nothing.to_str().context("the path is no text")?;
    let proxy = Replica::start(squall, &["proxy", "--config", nothing, "--admin", "127.0.0.1:0"])?;
    talk(client, &proxy.base)
}

fn talk(Installed(words): &Installed, url: &str) -> Result<Ended> {
    let (program, script) = words.split_first().context("a client is a command")?;
    let mut client = crate::command::command(program);
    client.args(script).arg(url);
    run(&mut client, CLIENT_DEADLINE)
}

fn install_with(command: &mut Command, otherwise: &str) -> Result<()> {
    ensure!(run(command, INSTALL_DEADLINE)?.success, "{otherwise}");
    Ok(())
}

/// What was installed last, to be compared with what is wanted.
struct Stamp(PathBuf);

impl Stamp {
    fn says(&self, wanted: &str) -> bool {
        fs::read_to_string(&self.0).is_ok_and(|installed| installed == wanted)
    }

    fn set(&self, wanted: &str) -> Result<()> {
        fs::write(&self.0, wanted).with_context(|| format!("cannot write {}", self.0.display()))
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
