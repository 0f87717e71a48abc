//! STUN and channel messages over TCP and TLS (RFC 8656 sections 3.1 and 12.5).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use polling::{Event, PollMode, Poller};
use rustls::ClientConnection;
use socket2::{Domain, Protocol, Socket, Type};

use super::Transport;

/// What may wait for a slow connection; beyond it messages are lost, as on any network.
const MOST_WAITING: usize = 4 << 20;
const READ: usize = 64 << 10;
/// Reads before others get their turn.
const READS_A_TURN: usize = 8;
const STUN_HEADER: usize = 20;
const CHANNEL_HEADER: usize = 4;

pub struct Stream {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
    key: usize,
    /// Plain bytes to be written, from `written` on.
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    /// The poller watches for room as well.
    watching: bool,
}

impl Stream {
    /// Begins to connect; what is sent meanwhile waits.
    pub fn connect(
        server: SocketAddr,
        transport: &Transport,
        poller: &Poller,
        key: usize,
    ) -> io::Result<(Self, SocketAddr)> {
        let raw = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
        raw.set_nonblocking(true)?;
        raw.set_tcp_nodelay(true)?;
        match raw.connect(&server.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        let tcp: TcpStream = raw.into();
        let local = tcp.local_addr()?;
        let tls = match transport {
            Transport::Tls(config, name) => {
                let made = ClientConnection::new(Arc::clone(config), name.clone());
                Some(Box::new(made.map_err(io::Error::other)?))
            }
            _ => None,
        };
        // SAFETY: `close` (called before the peer is dropped) deletes it from the poller before it is closed.
        #[allow(unsafe_code)]
        unsafe {
            poller.add_with_mode(&tcp, Event::all(key), PollMode::Level)?;
        }
        let stream = Self { tcp, tls, key, out: Vec::new(), written: 0, input: Vec::new(), watching: true };
        Ok((stream, local))
    }

    pub fn send(&mut self, message: &[u8]) {
        if self.out.len() - self.written + message.len() > MOST_WAITING {
            return;
        }
        self.out.extend_from_slice(message);
        // Channel messages are padded on a stream; STUN's are by themselves.
        self.out.resize(self.out.len() + padding(message.len()), 0);
    }

    pub fn flush(&mut self, poller: &Poller) -> io::Result<()> {
        let blocked = match self.write() {
            Ok(()) => false,
            // Not connected yet, or full.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => true,
            Err(error) => return Err(error),
        };
        if blocked != self.watching {
            self.watching = blocked;
            let interest = if blocked { Event::all(self.key) } else { Event::readable(self.key) };
            poller.modify_with_mode(&self.tcp, interest, PollMode::Level)?;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        loop {
            if let Some(tls) = &mut self.tls {
                while tls.wants_write() {
                    tls.write_tls(&mut self.tcp)?;
                }
            }
            if self.written == self.out.len() {
                self.out.clear();
                self.written = 0;
                return Ok(());
            }
            let rest = &self.out[self.written..];
            let taken = match &mut self.tls {
                // Before the handshake is over, and up to its own buffer's limit, rustls keeps it.
                Some(tls) => tls.writer().write(rest)?,
                None => self.tcp.write(rest)?,
            };
            if taken == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.written += taken;
        }
    }

    pub fn read(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        for _ in 0..READS_A_TURN {
            let more = match self.fill() {
                Ok(more) => more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            self.frames(&mut each)?;
            if !more {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
        }
        Ok(())
    }

    /// Reads once. False: the far side has closed.
    fn fill(&mut self) -> io::Result<bool> {
        let start = self.input.len();
        let Some(tls) = &mut self.tls else {
            self.input.resize(start + READ, 0);
            let count = self.tcp.read(&mut self.input[start..]);
            self.input.truncate(start + count.as_ref().map_or(0, |count| *count));
            return Ok(count? > 0);
        };
        let open = tls.read_tls(&mut self.tcp)? > 0;
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        let count = state.plaintext_bytes_to_read();
        self.input.resize(start + count, 0);
        tls.reader().read_exact(&mut self.input[start..])?;
        Ok(open)
    }

    /// Cuts the input into messages, without their padding.
    fn frames(&mut self, each: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut rest = &self.input[..];
        while let [first, _, high, low, ..] = *rest {
            let length = usize::from(u16::from_be_bytes([high, low]));
            let (message, whole) = match first {
                0..=3 => (STUN_HEADER + length, STUN_HEADER + length),
                0x40..=0x4F => {
                    let message = CHANNEL_HEADER + length;
                    (message, message + padding(message))
                }
                _ => return Err(io::Error::new(ErrorKind::InvalidData, "the server does not speak TURN")),
            };
            if rest.len() < whole {
                break;
            }
            each(&rest[..message]);
            rest = &rest[whole..];
        }
        let used = self.input.len() - rest.len();
        self.input.drain(..used);
        Ok(())
    }

    pub fn close(&self, poller: &Poller) {
        let _ = poller.delete(&self.tcp);
    }
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(4) - length
}
