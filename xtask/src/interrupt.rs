//! Ctrl-C and its like: the commands in flight are ended before this program is.

use std::process;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::group::{self, Role};

/// How long commands may take to end before they are killed.
const GRACE: Duration = Duration::from_secs(5);
/// And how long what they live on may.
const SERVICE_GRACE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Listens from now on, on a thread of its own.
pub(crate) fn hear() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start a runtime for signals")?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _inside = runtime.enter();
        let hear = |kind| signal(kind).context("cannot listen for signals");
        (
            hear(SignalKind::interrupt())?,
            hear(SignalKind::terminate())?,
            hear(SignalKind::hangup())?,
        )
    };
    thread::spawn(move || {
        runtime.block_on(async move {
            let number = tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = terminate.recv() => SignalKind::terminate(),
                _ = hang_up.recv() => SignalKind::hangup(),
            };
            wind_down(number.as_raw_value()).await;
        });
    });
    Ok(())
}

/// Leaves the end of this program to the signal, if there was one: what was cut short says nothing.
pub(crate) fn await_end_if_heard() {
    while group::is_ending() {
        thread::park(); // until the other thread exits
    }
}

async fn wind_down(signal: i32) {
    eprintln!("interrupted: ending what is under way");
    for (role, grace) in [(Role::Command, GRACE), (Role::Service, SERVICE_GRACE)] {
        end(role, grace).await;
    }
    process::exit(128 + signal); // as shells number it
}

async fn end(role: Role, grace: Duration) {
    group::ask_all_to_end(role);
    let ended = timeout(grace, async {
        while !group::all_ended(role) {
            sleep(PAUSE).await;
        }
    });
    if ended.await.is_err() {
        group::kill_all(role);
    }
}
