//! Listening sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use pyo3::PyErr;
use pyo3::exceptions::PyOSError;
use socket2::{Domain, Protocol, Socket, Type};

const BACKLOG: i32 = 1024;
/// How often a free port is looked for that every address of the host has free.
const TRIES: usize = 16;

/// What could not be done, and why.
#[derive(Debug)]
pub struct Failed {
    doing: String,
    cause: io::Error,
}

impl From<Failed> for PyErr {
    fn from(failed: Failed) -> Self {
        let message = format!("cannot {}: {}", failed.doing, failed.cause);
        match failed.cause.raw_os_error() {
            Some(errno) => PyOSError::new_err((errno, message)),
            None => PyOSError::new_err(message), // name resolution has no errno
        }
    }
}

/// Binds every address of `host` ("" is every address there is), all on one port.
///
/// An IPv6 address that this machine does not have is left out where another one could be bound.
pub fn bind(host: &str, port: u16) -> Result<Vec<TcpListener>, Failed> {
    let addresses = addresses(host)?;
    for _ in 1..TRIES {
        match bind_all(&addresses, port) {
            // A free port of the first address was taken on a later one: look for another.
            Err(failed) if port == 0 && failed.cause.kind() == io::ErrorKind::AddrInUse => {}
            outcome => return outcome,
        }
    }
    bind_all(&addresses, port)
}

fn addresses(host: &str) -> Result<Vec<IpAddr>, Failed> {
    if host.is_empty() {
        return Ok(vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]);
    }
    let found = (host, 0)
        .to_socket_addrs()
        .map_err(|cause| Failed { doing: format!("find the address of {host:?}"), cause })?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|found| found.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn bind_all(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, Failed> {
    let mut port = port;
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut missing = None;
    for &ip in addresses {
        let address = SocketAddr::new(ip, port);
        match bind_one(address) {
            Ok((listener, bound)) => {
                port = bound;
                listeners.push(listener);
            }
            Err(cause) => {
                let skip = addresses.len() > 1 && absent(&cause);
                let failed = Failed { doing: format!("listen on {address}"), cause };
                if !skip {
                    return Err(failed);
                }
                missing = Some(failed);
            }
        }
    }
    match missing {
        Some(failed) if listeners.is_empty() => Err(failed),
        _ => Ok(listeners),
    }
}

/// The machine has no such address, or no such family at all.
fn absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn bind_one(address: SocketAddr) -> io::Result<(TcpListener, u16)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?; // a restarted hub takes its port back at once
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // the IPv4 wildcard is a socket of its own
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}
