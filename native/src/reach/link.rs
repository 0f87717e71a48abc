//! The way to a TURN server: a UDP socket of its own, or a TCP or TLS stream.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use polling::Poller;

use super::Transport;
use super::stream::Stream;
use crate::net::{ReadBuffers, Socket};

pub enum Link {
    Udp(Socket, SocketAddr),
    Stream(Box<Stream>),
}

impl Link {
    pub fn open(
        server: SocketAddr,
        transport: &Transport,
        poller: &Poller,
        key: usize,
    ) -> io::Result<(Self, SocketAddr)> {
        if !matches!(transport, Transport::Udp) {
            let (stream, local) = Stream::connect(server, transport, poller, key)?;
            return Ok((Self::Stream(Box::new(stream)), local));
        }
        // The kernel says from which of our addresses the server is reached.
        let probe = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
        probe.connect(server)?;
        let socket = Socket::bind(probe.local_addr()?.ip(), poller, key)?;
        let local = socket.local;
        Ok((Self::Udp(socket, server), local))
    }

    /// Queues one STUN message or channel message.
    pub fn send(&mut self, message: &[u8]) {
        match self {
            Self::Udp(socket, server) => socket.push(*server, message),
            Self::Stream(stream) => stream.send(message),
        }
    }

    /// Writes what is queued. Errors are final.
    pub fn flush(&mut self, poller: &Poller) -> io::Result<()> {
        match self {
            Self::Udp(socket, _) => {
                socket.flush(poller);
                Ok(())
            }
            Self::Stream(stream) => stream.flush(poller),
        }
    }

    /// Hands each message that arrived to `each`. Errors are final.
    pub fn read(
        &mut self,
        buffers: &mut ReadBuffers,
        now: Instant,
        mut each: impl FnMut(Instant, &[u8]),
    ) -> io::Result<()> {
        match self {
            Self::Udp(socket, server) => {
                socket.reader().read(buffers, |now, source, datagram| {
                    if source == *server {
                        each(now, datagram);
                    }
                });
                Ok(())
            }
            Self::Stream(stream) => stream.read(|message| each(now, message)),
        }
    }

    pub fn close(&mut self, poller: &Poller) {
        match self {
            Self::Udp(socket, _) => socket.close(poller),
            Self::Stream(stream) => stream.close(poller),
        }
    }
}
