//! How late a paced event arrives: the origin says in each when it was sent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;

use super::figures::{Figures, quantile};
use super::stand::{REFERENCE, Stand};

/// How many events a stream has, and how far apart they are.
const EVENTS: usize = 100;
const PACE: Duration = Duration::from_millis(10);

/// An origin whose streams tell the time, by a clock that is this process's own.
pub(super) struct Clock {
    pub(super) address: SocketAddr,
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port")?;
        let (address, start) = (listener.local_addr()?, Instant::now());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || tell(stream, start));
            }
        });
        Ok(Self { address, start })
    }
}

/// One stream. Whoever leaves ends it.
fn tell(mut stream: TcpStream, start: Instant) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = [0; 4096];
    if stream.read(&mut head)? == 0 {
        return Ok(());
    }
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    let begin = Instant::now();
    for number in 1..=EVENTS {
        let due = begin + PACE * u32::try_from(number).unwrap_or_default();
        while let Some(left) =
            due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            thread::park_timeout(left);
        }
        let event = format!("data: {}\n\n", start.elapsed().as_nanos());
        stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
    }
    stream.write_all(b"0\r\n\r\n")
}

pub(super) fn measure(stand: &Stand, rounds: u32) -> Result<Vec<Figures>> {
    let mut p50 = Figures::new("how late a paced event is, p50", "µs", REFERENCE);
    let mut p99 = Figures::new("how late a paced event is, p99", "µs", REFERENCE);
    for round in 0..rounds {
        for target in stand.turns(round) {
            let late = listen(target.events, stand.clock.start)?;
            p50.add(target.name, quantile(&late, 0.5));
            p99.add(target.name, quantile(&late, 0.99));
        }
    }
    Ok(vec![p50, p99])
}

/// How late each event of one stream is, in microseconds.
fn listen(address: SocketAddr, start: Instant) -> Result<Vec<f64>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /mcp HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n")?;
    let mut late = Vec::new();
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while late.len() < EVENTS {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            bail!("the stream ended after {} events", late.len());
        }
        let now = start.elapsed().as_nanos() as f64;
        if let Some(sent) = line.strip_prefix("data: ").and_then(|at| at.trim().parse::<f64>().ok())
        {
            late.push((now - sent) / 1000.0);
        }
    }
    Ok(late)
}
