//! Containers of a test's own, and what the engine says of them; removed when the test ends.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use squall::world::free_address;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::needs::IMAGE;

/// Tests with containers at a time: more would only disturb each other's measurements.
static SEATS: Semaphore = Semaphore::const_new(2);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A seat among those who use containers.
pub(super) async fn seat() -> SemaphorePermit<'static> {
    SEATS.acquire().await.expect("never closed")
}

/// Three containers with the label that drills look for, on a network where each has an alias; and one
/// that has neither.
pub(super) struct Containers {
    prefix: String,
    _seat: SemaphorePermit<'static>,
}

pub(super) const REPLICAS: [&str; 3] = ["a", "b", "c"];

/// Starts them, as soon as a seat is free.
pub(super) async fn containers() -> Containers {
    let seat = seat().await;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("squall-test-{}-{number}", std::process::id());
    let containers = Containers { prefix, _seat: seat };
    docker(&["network", "create", &containers.network()]);
    for replica in REPLICAS {
        containers.run(replica, &["--label", "squall.target=true"]);
    }
    containers.run("stranger", &[]);
    containers
}

impl Containers {
    pub(super) fn name(&self, replica: &str) -> String {
        format!("{}-{replica}", self.prefix)
    }

    pub(super) fn network(&self) -> String {
        format!("{}-net", self.prefix)
    }

    /// A label that only these carry, so that tests of two machines' users do not meet.
    pub(super) fn label(&self) -> String {
        format!("squall.test={}", self.prefix)
    }

    /// What `--set` takes to adopt the three by their names.
    pub(super) fn adopt(&self) -> String {
        let names = REPLICAS.map(|replica| self.name(replica)).join(", ");
        format!("world.docker={{ adopt: {{ containers: [{names}] }}, at_most: 3 }}")
    }

    /// Another one with the label, with these arguments of `docker run`, and its name. It serves as the
    /// others do, on no port but what they publish.
    pub(super) fn another(&self, replica: &str, more: &str) -> String {
        self.run_as(replica, more, &[IMAGE, "server", "--listen", "0.0.0.0:3000"])
    }

    /// The same with another image, and another command for it.
    pub(super) fn run_as(&self, replica: &str, more: &str, image: &[&str]) -> String {
        let (name, network, label) = (self.name(replica), self.network(), self.label());
        let run = format!(
            "run --detach --name {name} --network {network} --network-alias {replica} --label {label}"
        );
        let run = format!("{run} --label squall.target=true {more}");
        let words = run.split_ascii_whitespace();
        docker(&words.chain(image.iter().copied()).collect::<Vec<_>>());
        name
    }

    fn run(&self, replica: &str, more: &[&str]) {
        let port = free_address().expect("a port").port();
        let (name, network, label) = (self.name(replica), self.network(), self.label());
        let publish = format!("127.0.0.1:{port}:3000");
        let mut arguments = vec!["run", "--detach", "--name", &name, "--network", &network];
        arguments.extend(["--network-alias", replica, "--publish", &publish, "--label", &label]);
        arguments.extend(more);
        arguments.extend([IMAGE, "server", "--listen", "0.0.0.0:3000", "--id", replica]);
        docker(&arguments);
    }

    /// What the engine says of a container.
    pub(super) fn inspect(&self, replica: &str) -> Value {
        inspect(&self.name(replica))
    }

    /// `running`, `paused` or `exited`.
    pub(super) fn state(&self, replica: &str) -> String {
        self.inspect(replica)["State"]["Status"].as_str().expect("a state").to_owned()
    }

    /// How it hangs on the network of these containers; null if it does not.
    pub(super) fn attachment(&self, replica: &str) -> Value {
        self.inspect(replica)["NetworkSettings"]["Networks"][&self.network()].clone()
    }

    /// All run, on the network, under their aliases.
    #[track_caller]
    pub(super) fn assert_as_found(&self) {
        for replica in REPLICAS {
            assert_eq!(self.state(replica), "running", "{replica}");
            let attachment = self.attachment(replica);
            let aliases = attachment["Aliases"].to_string();
            assert!(aliases.contains(&format!("\"{replica}\"")), "{replica}: {attachment}");
        }
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        let label = format!("label={}", self.label());
        let (_, ids) = try_docker(&["ps", "--all", "--quiet", "--filter", &label]);
        let mut remove = vec!["rm", "--force", "--volumes"];
        remove.extend(ids.split_ascii_whitespace());
        try_docker(&remove);
        try_docker(&["network", "rm", &self.network()]);
    }
}

/// What a stack consists of: how it is listed, and how it is removed, in the order in which it can be.
const PARTS: [(&str, &str); 3] = [
    ("container ls --all", "container rm --force --volumes"),
    ("network ls", "network rm"),
    ("volume ls", "volume rm"),
];

/// Everything that a run's stack would have left: containers, networks, volumes.
pub(super) fn left_of(run: &str) -> String {
    let project = label_of(run);
    PARTS.iter().map(|(list, _)| docker(&listing(list, &project))).collect()
}

/// Removes whatever of a run's stack is there.
pub(super) fn remove(run: &str) {
    let project = label_of(run);
    for (list, remove) in PARTS {
        let (_, left) = try_docker(&listing(list, &project));
        if !left.is_empty() {
            try_docker(&remove.split(' ').chain(left.split_whitespace()).collect::<Vec<_>>());
        }
    }
}

/// The ids of a run's containers.
pub(super) fn containers_of(run: &str) -> Vec<String> {
    let listed = docker(&listing(PARTS[0].0, &label_of(run)));
    listed.split_whitespace().map(str::to_owned).collect()
}

fn label_of(run: &str) -> String {
    format!("label=com.docker.compose.project=squall-{}", run.to_ascii_lowercase())
}

fn listing<'a>(list: &'a str, filter: &'a str) -> Vec<&'a str> {
    list.split(' ').chain(["--quiet", "--filter", filter]).collect()
}

pub(super) fn inspect(name: &str) -> Value {
    let all: Value = serde_json::from_str(&docker(&["inspect", name])).expect("JSON");
    all[0].clone()
}

/// Asks the engine's own command line, which must answer.
pub(super) fn docker(arguments: &[&str]) -> String {
    let (succeeds, said) = try_docker(arguments);
    assert!(succeeds, "docker {arguments:?}: {said}");
    said
}

pub(super) fn try_docker(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output();
    let output = output.expect("the command line of Docker");
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
