//! Free TCP ports on 127.0.0.1.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Error;

/// Below Linux's ephemeral range (32768 and up): a server that is stopped for a while must not find
/// its port taken by some client's outgoing connection when it starts again, as happens with ports
/// from `bind(0)`.
const PORTS: Range<u16> = 10_000..32_000;
const ATTEMPTS: usize = 100;

/// Counts the ports that this process has handed out. It begins at a random number.
static HANDED_OUT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(random()));

/// A port of 127.0.0.1 on which nobody listens, and which this process has not handed out before,
/// unless it has been through all: whoever is not listening yet, or is just starting again, finds
/// its port free. Processes begin at random ports, so that two of them rarely hand out the same.
///
/// # Errors
/// When a hundred ports were all taken, with the last answer.
pub fn free_port() -> Result<u16, Error> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let port = next_port();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_closed_again) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    let source = last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
    Err(Error::io("finding a free port on", Path::new("127.0.0.1"))(source))
}

fn next_port() -> u16 {
    let count = HANDED_OUT.fetch_add(1, Ordering::Relaxed);
    let offset = count % u64::from(PORTS.end - PORTS.start);
    PORTS.start + u16::try_from(offset).unwrap_or_default()
}

fn random() -> u64 {
    let (_, random) = uuid::Uuid::new_v4().as_u64_pair();
    // Small enough for the count never to overflow.
    random >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_port_is_handed_out_twice() {
        let ports: BTreeSet<u16> = (0..1_000).map(|_| free_port().expect("a port")).collect();
        assert_eq!(ports.len(), 1_000);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }
}
