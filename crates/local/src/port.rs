//! Free TCP ports on 127.0.0.1.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;

use super::Error;

/// Below Linux's ephemeral range (32768 and up): a server that is stopped for a while must not find
/// its port taken by some client's outgoing connection when it starts again, as happens with ports
/// from `bind(0)`.
const PORTS: Range<u16> = 10_000..32_000;
const ATTEMPTS: usize = 100;

/// A port of 127.0.0.1 on which nobody listens. It is not reserved. It is chosen at random, so that
/// two callers at the same time rarely get the same port.
///
/// # Errors
/// When a hundred random ports were all taken, with the last answer.
pub fn free_port() -> Result<u16, Error> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let port = random_port();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_closed_again) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    let source = last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
    Err(Error::io("finding a free port on", Path::new("127.0.0.1"))(source))
}

fn random_port() -> u16 {
    let (_, random) = uuid::Uuid::new_v4().as_u64_pair();
    let offset = random % u64::from(PORTS.end - PORTS.start);
    PORTS.start + u16::try_from(offset).unwrap_or_default()
}
