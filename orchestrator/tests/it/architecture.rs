//! The invariants of ARCHITECTURE.md, held against manifests and sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The names under `[dependencies]` of a crate.
fn dependencies(folder: &str) -> BTreeSet<String> {
    let manifest = root().join(folder).join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    let section = text.split("\n[dependencies]\n").nth(1).expect("dependencies");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned();
    lines.filter(|line| !line.trim().is_empty()).map(name).collect()
}

/// The sources of a crate, by their path in it, with their text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                found.push((path.display().to_string(), text));
            }
        }
    }
    found
}

#[test]
fn dependencies_point_down_only() {
    let of_ours = |folder| -> Vec<String> {
        dependencies(folder).into_iter().filter(|name| name.starts_with("squall")).collect()
    };
    assert_eq!(of_ours("model"), [""; 0]);
    for folder in ["proxy", "server", "loadgen"] {
        assert_eq!(of_ours(folder), ["squall-model"], "{folder}");
    }
}

#[test]
fn the_model_knows_no_async_no_input_and_output_and_no_clock() {
    for banned in ["tokio", "hyper", "futures-util"] {
        assert!(!dependencies("model").contains(banned), "the model depends on {banned}");
    }
    for (path, text) in sources("model") {
        for banned in ["async fn", "std::fs", "std::net", "SystemTime", "Instant"] {
            assert!(!text.contains(banned), "{path} names {banned}");
        }
    }
}

#[test]
fn only_the_command_line_runs_the_proxy_and_the_server() {
    for (path, text) in sources("orchestrator") {
        let runs = text.contains("Proxy::bind") || text.contains("squall_server::run");
        assert!(!runs || path.contains("/cli/"), "{path} runs the proxy or the server itself");
    }
}

#[test]
fn only_carry_and_streams_wait_for_the_end_of_a_fault() {
    for (path, text) in sources("proxy") {
        let waits = text.contains(".ended()") && !path.ends_with("/board.rs");
        let carries = ["/carry.rs", "/carry/", "/stream/"].iter().any(|room| path.contains(room));
        assert!(!waits || carries, "{path} carries out verdicts");
    }
}

#[test]
fn only_three_rooms_of_the_server_name_redis() {
    for (path, text) in sources("server") {
        let names = text.contains("use redis::") || text.contains(" redis::");
        let rooms = ["/redis_link.rs", "/redis_link/url.rs", "/store/redis.rs", "/bus/redis.rs"];
        let is_room = rooms.iter().any(|room| path.ends_with(room));
        assert!(!names || is_room, "{path} names the redis crate");
    }
}

#[test]
fn only_the_docker_world_names_bollard_and_only_the_redis_of_worlds_names_redis() {
    for (path, text) in sources("orchestrator") {
        let names_bollard = text.contains("bollard::");
        assert!(!names_bollard || path.contains("/world/docker/"), "{path} names bollard");
        let names_redis = text.contains("redis::Client") || text.contains("use redis::{");
        assert!(!names_redis || path.ends_with("/world/redis.rs"), "{path} names redis");
    }
}

#[test]
fn every_file_says_on_top_what_it_is_for() {
    for folder in ["model", "proxy", "server", "loadgen", "orchestrator", "xtask"] {
        for (path, text) in sources(folder) {
            let tests = path.ends_with("/tests.rs");
            assert!(tests || text.starts_with("//! "), "{path} does not begin with //!");
        }
    }
}

#[test]
fn nothing_of_a_run_waits_without_tokio() {
    for folder in ["model", "proxy", "server", "loadgen", "orchestrator"] {
        for (path, text) in sources(folder) {
            assert!(!text.contains("thread::sleep"), "{path} sleeps on a thread");
        }
    }
}
