//! The tours of the README, typed as they stand there.

use std::net::TcpListener;
use std::path::Path;

use tokio::process::Command;
use tokio::time::{Duration, timeout};

use crate::needs::has_curl;
use crate::support::SQUALL;

/// A tour takes some seconds; a machine that runs tests is busy.
const LONGEST: Duration = Duration::from_secs(120);

/// The shell blocks of a section, in order.
fn blocks(section: &str) -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("README.md");
    let (_, rest) = readme.split_once(&format!("\n## {section}\n")).expect("the section");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// A port that nobody listens on.
fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// The block with ports that are free here, a shorter load, and a wait where people need a moment.
fn script(block: &str) -> String {
    let admin = free();
    let mut script = block.replace("squall proxy ", &format!("squall proxy --admin {admin} "));
    script = script.replace("127.0.0.1:8474", &admin);
    for port in ["127.0.0.1:3000", "127.0.0.1:8080", "127.0.0.1:6380"] {
        script = script.replace(port, &free());
    }
    for log in ["/tmp/server.log", "/tmp/proxy.log"] {
        script = script.replace(log, "/dev/null");
    }
    script = script.replace("--duration 10s", "--duration 2s").replace("p(95)<500", "p(95)<30000");
    let (start, tour) = script.split_once("\n\n").expect("what is started comes first");
    let wait = "until squall fault list > /dev/null 2>&1; do :; done";
    format!("set -m\n{start}\n{wait}\nset -e\nexport PS4='$ '\nset -x\n{tour}")
}

async fn goes_well(block: &str) {
    let script = script(block);
    let folder = Path::new(SQUALL).parent().expect("a folder");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let admin = script.split("--admin ").nth(1).and_then(|rest| rest.split(' ').next());
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(&script).env("PATH", path).env("SQUALL_ADMIN", admin.expect("an address"));
    let output = timeout(LONGEST, bash.kill_on_drop(true).output()).await;
    let output = output.expect("it ends in time").expect("bash");
    let said = String::from_utf8_lossy(&output.stdout);
    let typed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{typed}\n{said}");
}

#[tokio::test]
async fn the_tour_of_the_command_line_goes_well() {
    goes_well(&blocks("By hand")[0]).await;
}

#[tokio::test]
async fn the_tour_of_the_admin_api_goes_well() {
    if has_curl() {
        goes_well(&blocks("By hand")[1]).await;
    }
}
