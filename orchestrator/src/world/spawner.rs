//! The thread that children are spawned from.
//!
//! A parent-death signal is sent when the *thread* that forked is gone (prctl(2),
//! `PR_SET_PDEATHSIG`), and a runtime's workers come and go: so this one lives as long as the drill.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Hands commands to the thread, which ends when this value is dropped; its children then end too.
#[derive(Debug)]
pub(super) struct Spawner(mpsc::Sender<Job>);

#[derive(Debug)]
enum Job {
    Spawn(Box<Command>, oneshot::Sender<io::Result<Child>>),
    /// Nothing but a sign that all jobs before it are done.
    Settle(oneshot::Sender<()>),
}

impl Spawner {
    /// Starts the thread. Its children are awaited by the runtime that this is called on.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Handle::current();
        let (jobs, inbox) = mpsc::channel();
        let thread = thread::Builder::new().name("spawner".to_owned());
        thread.spawn(move || work(&runtime, &inbox))?;
        Ok(Self(jobs))
    }

    /// Spawns. A child whose spawning is no longer awaited is dropped, and with it its stdin.
    pub(super) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the thread that spawns children is gone");
        let (reply, answer) = oneshot::channel();
        let sent = self.0.send(Job::Spawn(Box::new(command), reply));
        sent.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Waits until everything that was asked for is spawned, whether or not it is still awaited: a
    /// child that does not run its program yet cannot be found by its environment.
    pub(super) async fn settle(&self) {
        let (reply, answer) = oneshot::channel();
        if self.0.send(Job::Settle(reply)).is_ok() {
            // If the thread is gone, it spawns nothing any more.
            let _ = answer.await;
        }
    }
}

fn work(runtime: &Handle, inbox: &mpsc::Receiver<Job>) {
    let _inside = runtime.enter();
    // Whoever asked may have gone.
    for job in inbox {
        match job {
            Job::Spawn(mut command, reply) => drop(reply.send(command.spawn())),
            Job::Settle(reply) => drop(reply.send(())),
        }
    }
}
