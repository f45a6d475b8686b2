//! As many requests as go through, and what one of them waits.

use anyhow::Result;

use super::cpu;
use super::figures::Figures;
use super::stand::{REFERENCE, Stand, script, wrk};

/// Requests a second and CPU a request on 32 connections.
pub(super) fn rate(stand: &Stand, rounds: u32, seconds: u32) -> Result<Vec<Figures>> {
    let script = script(&stand.folder)?;
    let mut rate = Figures::new("calls on 32 connections", "requests/s", REFERENCE);
    let mut cpu = Figures::new("CPU of the proxy", "µs a request", REFERENCE);
    for round in 0..rounds {
        for target in stand.turns(round) {
            let before = target.pid.map(cpu::micros).transpose()?;
            let ran = wrk(target, "/mcp", &script, 32, seconds)?;
            rate.add(target.name, ran.requests / ran.seconds);
            if let (Some(pid), Some(before)) = (target.pid, before) {
                cpu.add(target.name, (cpu::micros(pid)? - before) / ran.requests);
            }
        }
    }
    Ok(vec![rate, cpu])
}

/// The latency of calls one after the other.
pub(super) fn latency(stand: &Stand, rounds: u32, seconds: u32) -> Result<Vec<Figures>> {
    let script = script(&stand.folder)?;
    let mut p50 = Figures::new("calls on one connection, p50", "µs", REFERENCE);
    let mut p99 = Figures::new("calls on one connection, p99", "µs", REFERENCE);
    for round in 0..rounds {
        for target in stand.turns(round) {
            let ran = wrk(target, "/mcp", &script, 1, seconds)?;
            p50.add(target.name, ran.p50_us);
            p99.add(target.name, ran.p99_us);
        }
    }
    Ok(vec![p50, p99])
}
