//! Free ports for replicas, below the range that the system gives to outgoing connections.
//!
//! A port of that range may be taken by anybody's outgoing connection while its replica is down,
//! and then the replica could not come back.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// The lowest port that is given out.
const LOWEST: u16 = 10_000;

/// How far apart the first tries of two drills of neighbouring pids are.
const STRIDE: u32 = 16;

/// How many ports this process has looked at, so that two worlds in it do not race for one.
static LOOKED_AT: AtomicU32 = AtomicU32::new(0);

/// A loopback address that nobody listens on now; `None` if there is none. It is not reserved: a
/// replica that finds it taken fails to start, and says so.
pub fn free_address() -> Option<SocketAddr> {
    let range = range_below(ephemeral_lower_bound());
    let span = u32::from(range.end - range.start);
    let first = std::process::id().wrapping_mul(STRIDE);
    let candidates = (0..span).map(|_| {
        let step = LOOKED_AT.fetch_add(1, Ordering::Relaxed);
        range.start + (first.wrapping_add(step) % span) as u16
    });
    candidates
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|address| TcpListener::bind(address).is_ok())
}

/// From [`LOWEST`] to the bound; where that leaves no room, the whole range, which is better than
/// nothing.
fn range_below(bound: u16) -> Range<u16> {
    if bound > LOWEST + 100 { LOWEST..bound } else { LOWEST..u16::MAX }
}

fn ephemeral_lower_bound() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_ascii_whitespace().next();
    first.and_then(|port| port.parse().ok()).unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ports_lie_below_the_ephemeral_range_and_differ() {
        let addresses: Vec<SocketAddr> = (0..20).filter_map(|_| free_address()).collect();
        let range = range_below(ephemeral_lower_bound());
        assert!(addresses.iter().all(|address| range.contains(&address.port())));
        assert_eq!(addresses.iter().collect::<HashSet<_>>().len(), 20);
    }

    #[test]
    fn a_machine_whose_ephemeral_range_begins_low_still_has_ports() {
        assert_eq!(range_below(32_768), 10_000..32_768);
        assert_eq!(range_below(1024), 10_000..u16::MAX);
    }
}
