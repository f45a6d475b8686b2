//! How exact a latency fault is: up to 50 requests wait at once, each for 50 ms, and one a millisecond
//! begins.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use super::figures::{Figures, median, quantile};
use super::stand::{DELAYED, DIRECT, SQUALL, Stand};

const WAITING: u32 = 50;
const DELAY_MS: f64 = 50.0;
const DELAY: Duration = Duration::from_millis(50);
/// How far apart they begin.
const APART: Duration = Duration::from_millis(1);

pub(super) fn measure(stand: &Stand, rounds: u32) -> Result<Vec<Figures>> {
    let names = ["1 at once", "50 at once"];
    let mut all = Vec::new();
    for (name, count) in names.into_iter().zip([1, WAITING]) {
        let what = format!("beyond a latency of 50 ms and what the proxy takes without it, {name}");
        let mut errors = Figures::new(what, "ms", DIRECT);
        let plain =
            stand.targets.iter().find(|target| target.name == SQUALL).context("no squall")?;
        for _ in 0..rounds {
            // What has rested wakes up slowly, with and without a fault.
            let without = median(&ask(plain.address, count, DELAY)?);
            let with = ask(stand.delayed.address, count, Duration::ZERO)?;
            let early = with.iter().filter(|took| **took < DELAY_MS).count();
            ensure!(early == 0, "{DELAYED}: {early} answers came early");
            let beyond: Vec<f64> = with.iter().map(|took| took - DELAY_MS - without).collect();
            errors.add("p50", quantile(&beyond, 0.5));
            errors.add("p99", quantile(&beyond, 0.99));
        }
        all.push(errors);
    }
    Ok(all)
}

/// How long each of the calls of so many clients takes, in milliseconds; several times each, with a
/// rest in between.
fn ask(address: SocketAddr, count: u32, rest: Duration) -> Result<Vec<f64>> {
    let askers: Vec<_> = (0..count)
        .map(|number| thread::spawn(move || one(address, APART * number, rest)))
        .collect();
    let mut took = Vec::new();
    for asker in askers {
        took.extend(asker.join().map_err(|_| anyhow::anyhow!("a client has panicked"))??);
    }
    Ok(took)
}

fn one(address: SocketAddr, begin: Duration, rest: Duration) -> Result<Vec<f64>> {
    const TIMES: usize = 10;
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fast-echo"}}"#;
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut took = Vec::new();
    let mut answer = [0; 4096];
    wait(begin);
    for time in 0..=TIMES {
        wait(rest);
        let asked = Instant::now();
        stream.write_all(request.as_bytes())?;
        let read = stream.read(&mut answer)?;
        ensure!(answer[..read].starts_with(b"HTTP/1.1 200"), "no answer");
        // The first one also makes the connection to the origin.
        if time > 0 {
            took.push(asked.elapsed().as_secs_f64() * 1000.0);
        }
    }
    Ok(took)
}

fn wait(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    {
        thread::park_timeout(left);
    }
}
