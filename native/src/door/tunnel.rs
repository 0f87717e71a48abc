//! One TLS connection: ciphertext on the network side, plaintext on a socket pair's side.
//!
//! Both directions are bounded. Nothing is read from the network while plaintext waits for the
//! pair, and nothing from the pair while ciphertext waits for the network; what a slow reader
//! does not take stays with its sender, in kernel buffers of fixed size.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use super::poll::Ready;
use super::route::Route;

/// Turns one connection may take before the others get theirs.
const ROUNDS: usize = 16;

/// Why a tunnel ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides are done, or one of them is gone.
    Done,
    /// The handshake failed, or the client broke the TLS protocol.
    TlsFailed,
    /// Decrypted, but for nobody here.
    Refused,
}

/// What the reactor is to do next.
pub enum Step {
    /// Wait for an event.
    Wait,
    /// Come back after the others had their turn.
    Again,
    /// The handshake is done and the client speaks HTTP: hand this end to Python.
    Hand(UnixStream),
    /// The handshake is done and the client speaks TURN: `into_tls` has the rest.
    Turn,
    /// The Python side is closed: give the client a limited time to take the rest.
    Linger,
    End(End),
}

pub struct Tunnel {
    tls: ServerConnection,
    /// Our end of the pair; none before the first plaintext.
    pair: Option<UnixStream>,
    pub pair_ready: Ready,
    /// No more from the network, no more from the pair.
    net_ended: bool,
    pair_ended: bool,
    /// Our own end of each direction was said.
    net_shut: bool,
    pair_shut: bool,
    lingering: bool,
    /// Bytes that either side took, to tell a slow one from a dead one.
    pub moved: u64,
}

impl Tunnel {
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            tls: ServerConnection::new(config)?,
            pair: None,
            pair_ready: Ready::default(),
            net_ended: false,
            pair_ended: false,
            net_shut: false,
            pair_shut: false,
            lingering: false,
            moved: 0,
        })
    }

    /// The TLS of a connection that goes on elsewhere.
    pub fn into_tls(self) -> ServerConnection {
        self.tls
    }

    /// Our end of the pair, for the poller.
    pub fn pair(&self) -> Option<&UnixStream> {
        self.pair.as_ref()
    }

    /// Whether Python's side is closed and all that it wrote is on its way.
    pub fn is_settled(&self) -> bool {
        self.net_shut
    }

    /// Moves what can be moved. `scratch` bounds what is taken from the pair at once.
    pub fn drive(&mut self, net: &TcpStream, ready: &mut Ready, scratch: &mut [u8]) -> Step {
        for _ in 0..ROUNDS {
            match self.round(net, ready, scratch) {
                Err(end) => return Step::End(end),
                Ok(_) if self.pair.is_none() && self.has_plaintext() => return self.open(),
                // Told by the event, since the end itself is read only once all before it is on its way.
                Ok(_) if self.pair_ready.ended && !self.lingering => {
                    self.lingering = true;
                    return Step::Linger;
                }
                Ok(true) => {}
                Ok(false) => return Step::Wait,
            }
        }
        Step::Again
    }

    /// One pass over both directions; says whether anything moved.
    fn round(&mut self, net: &TcpStream, ready: &mut Ready, scratch: &mut [u8]) -> Result<bool, End> {
        let mut moved = self.receive(net, ready)?;
        moved |= self.deliver();
        moved |= self.collect(scratch)?;
        moved |= self.flush(net, ready)?;
        if self.net_ended && self.pair_ended && !self.tls.wants_write() {
            return Err(End::Done);
        }
        if self.net_ended && self.pair.is_none() && !self.has_plaintext() {
            // Gone before it said anything.
            return Err(if self.tls.is_handshaking() { End::TlsFailed } else { End::Done });
        }
        Ok(moved)
    }

    /// Ciphertext → network.
    fn flush(&mut self, net: &TcpStream, ready: &mut Ready) -> Result<bool, End> {
        let mut moved = false;
        while ready.write && self.tls.wants_write() {
            match self.tls.write_tls(&mut &*net) {
                Ok(count) => {
                    moved = true;
                    self.moved += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready.write = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Done), // the client is gone
            }
        }
        if self.pair_ended && !self.net_shut && !self.tls.wants_write() {
            self.net_shut = true;
            // Tells the client that we are done while what it still sends is read, so that no
            // reset overtakes our last bytes. Fails only where the client is gone already.
            let _ = net.shutdown(Shutdown::Write);
        }
        Ok(moved)
    }

    /// Network → plaintext, one read, unless plaintext waits already.
    fn receive(&mut self, net: &TcpStream, ready: &mut Ready) -> Result<bool, End> {
        if !ready.read || self.net_ended || self.has_plaintext() {
            return Ok(false);
        }
        match self.tls.read_tls(&mut Source { socket: net, ready }) {
            Ok(0) => self.net_ended = true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(_) => return Err(End::Done), // the client is gone
        }
        match self.tls.process_new_packets() {
            Ok(state) => self.net_ended |= state.peer_has_closed(),
            Err(_) => {
                let _ = self.flush(net, ready); // the alert that names the fault, if it goes out
                return Err(End::TlsFailed);
            }
        }
        Ok(true)
    }

    /// Plaintext → pair.
    fn deliver(&mut self) -> bool {
        let mut moved = false;
        let Some(pair) = &self.pair else { return moved };
        let mut reader = self.tls.reader();
        while self.pair_ready.write {
            // Nothing there, a clean end and a cut one all mean the same here: HTTP and
            // WebSocket frame their own messages and see a cut by themselves.
            let Ok(chunk) = reader.fill_buf() else { break };
            if chunk.is_empty() {
                break;
            }
            match (&mut &*pair).write(chunk) {
                Ok(count) => {
                    moved = true;
                    self.moved += count as u64;
                    reader.consume(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.pair_ready.write = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    // Python closed its end: what the client still sends is thrown away, while
                    // `collect` reads what Python had written before.
                    let count = chunk.len();
                    reader.consume(count);
                    moved = true;
                }
            }
        }
        if self.net_ended && !self.pair_shut && reader.fill_buf().map_or(true, <[u8]>::is_empty) {
            self.pair_shut = true;
            let _ = pair.shutdown(Shutdown::Write); // fails only where Python's end is closed
        }
        moved
    }

    /// Pair → ciphertext, unless ciphertext waits already.
    fn collect(&mut self, scratch: &mut [u8]) -> Result<bool, End> {
        let Some(pair) = &self.pair else { return Ok(false) };
        if !self.pair_ready.read || self.pair_ended || self.tls.wants_write() {
            return Ok(false);
        }
        match (Source { socket: pair, ready: &mut self.pair_ready }).read(scratch) {
            Ok(0) => {}
            Ok(count) => {
                // Fits: the buffer is empty, and its limit (64 KiB) is above one read.
                self.tls.writer().write_all(&scratch[..count]).map_err(|_| End::Done)?;
                return Ok(true);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(_) => {} // closed with unread bytes: an end all the same
        }
        self.pair_ended = true;
        self.tls.send_close_notify();
        Ok(true)
    }

    fn has_plaintext(&mut self) -> bool {
        matches!(self.tls.reader().fill_buf(), Ok(chunk) if !chunk.is_empty())
    }

    /// The first plaintext is there: who is it for?
    fn open(&mut self) -> Step {
        let first = match self.tls.reader().fill_buf() {
            Ok([first, ..]) => *first,
            _ => return Step::Wait,
        };
        match Route::of(first) {
            Route::Http => {}
            Route::Turn => return Step::Turn,
            Route::Tls | Route::Unknown => return Step::End(End::Refused),
        }
        match pair() {
            Ok((ours, theirs)) => {
                self.pair = Some(ours);
                Step::Hand(theirs)
            }
            Err(_) => Step::End(End::Refused), // out of descriptors
        }
    }
}

/// Reads from a socket and notes when it is empty.
struct Source<'a, S> {
    socket: S,
    ready: &'a mut Ready,
}

impl<S: Read> Read for Source<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let outcome = self.socket.read(buffer);
        match &outcome {
            Ok(count) if *count < buffer.len() && !self.ready.ended => self.ready.read = false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.ready.read = false,
            _ => {}
        }
        outcome
    }
}

fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    Ok((ours, theirs))
}
