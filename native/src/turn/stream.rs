//! One client over TCP, with TLS or without: what came in through the hub's front door.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::ServerConnection;

use super::frames::{self, Framer};
use super::outbox::Client;

/// Bytes that wait for a client that takes them too slowly; the datagrams after them are lost, as they
/// would be on a slow path.
const MOST_WAITING: usize = 128 << 10;
/// As much again for answers, which are few, and small.
const MOST_ANSWERS: usize = 16 << 10;
/// Of that, what rustls is given at once: its own buffer stays small.
const TLS_CHUNK: usize = 32 << 10;
/// What the kernel may hold that is not on its way: else megabytes wait there, seconds late.
const KERNEL_WAITING: u32 = 128 << 10;
/// The largest message of a client that has allocated, and of one that has not.
const MOST_MESSAGE: usize = 1 << 17;
const MOST_REQUEST: usize = 4 << 10;
/// Bytes that one stream may bring before the others get their turn.
const BUDGET: usize = 256 << 10;

/// How long a message may take from its first byte to its last.
const HALF_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may be here without an allocation.
const IDLE_WITHIN: Duration = Duration::from_secs(60);
/// How long a client may take nothing of what waits for it.
const STALLED_WITHIN: Duration = Duration::from_secs(20);

/// A connection that the door hands over: nothing was read of it, or TLS holds what was.
pub struct Newcomer {
    pub net: TcpStream,
    pub tls: Option<Box<ServerConnection>>,
    pub peer: SocketAddr,
    pub local: SocketAddr,
}

/// What reading came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that is there was read.
    Empty,
    /// More is there, and it is the others' turn.
    More,
    /// The client is gone, or broke the protocol.
    Ended,
}

pub struct Stream {
    pub net: TcpStream,
    tls: Option<Box<ServerConnection>>,
    pub client: Client,
    framer: Framer,
    /// Whole messages, but for the first, whose beginning may be on its way.
    waiting: Vec<u8>,
    /// So many bytes of it are on their way.
    sent: usize,
    /// Since when a message is half there; nothing was taken of what waits; there was no allocation.
    half: Option<Instant>,
    stalled: Option<Instant>,
    idle: Instant,
    pub since: Instant,
}

impl Stream {
    pub fn new(newcomer: Newcomer, client: Client, now: Instant) -> Self {
        let Newcomer { net, mut tls, .. } = newcomer;
        if let Some(tls) = &mut tls {
            tls.set_buffer_limit(None); // `write` sees to it
        }
        // Refused by a kernel without it: then more waits there.
        let _ = socket2::SockRef::from(&net).set_tcp_notsent_lowat(KERNEL_WAITING);
        Self {
            net,
            tls,
            client,
            framer: Framer::default(),
            waiting: Vec::new(),
            sent: 0,
            half: None,
            stalled: None,
            idle: now,
            since: now,
        }
    }

    /// Reads what is there, as far as it is this stream's turn, and hands on each message.
    pub fn read(
        &mut self,
        now: Instant,
        allocated: bool,
        scratch: &mut [u8],
        mut each: impl FnMut(&[u8]),
    ) -> Outcome {
        let most = if allocated { MOST_MESSAGE } else { MOST_REQUEST };
        let mut left = BUDGET;
        let mut whole = false;
        let mut each = |message: &[u8]| {
            whole = true;
            each(message);
        };
        let outcome = loop {
            let read = match &mut self.tls {
                None => (&self.net).read(scratch).and_then(|count| {
                    self.framer.take(&scratch[..count], most, &mut each).map_err(broken)?;
                    Ok(count)
                }),
                Some(tls) => {
                    read_tls(tls, &self.net, |bytes| self.framer.take(bytes, most, &mut each).map_err(broken))
                }
            };
            match read {
                Ok(0) => break Outcome::Ended,
                Ok(count) => match left.checked_sub(count) {
                    Some(rest) => left = rest,
                    None => break Outcome::More,
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Outcome::Empty,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break Outcome::Ended,
            }
        };
        // Where messages came whole, the one that is half there began lately: a busy stream may never pause
        // between two.
        let began = if whole { now } else { self.half.unwrap_or(now) };
        self.half = self.framer.is_half().then_some(began);
        outcome
    }

    /// Leaves a message for the client. False where too much waits already: it is lost.
    pub fn push(&mut self, message: &[u8]) -> bool {
        // ChannelData, or a Data indication.
        let data = matches!(message, [0x40..=0x7f, ..] | [0x00, 0x17, ..]);
        let most = if data { MOST_WAITING } else { MOST_WAITING + MOST_ANSWERS };
        if self.left() + message.len() > most && (!self.write() || self.left() + message.len() > most) {
            return false;
        }
        if self.sent > MOST_WAITING {
            self.waiting.drain(..self.sent);
            self.sent = 0;
        }
        self.waiting.extend_from_slice(message);
        true
    }

    fn left(&self) -> usize {
        self.waiting.len() - self.sent
    }

    /// Writes what waits, as far as the kernel takes it. False where the client is gone.
    pub fn write(&mut self) -> bool {
        loop {
            let left = self.left();
            let wrote = match &mut self.tls {
                Some(tls) if tls.wants_write() => tls.write_tls(&mut &self.net),
                _ if left == 0 => {
                    self.waiting.clear();
                    self.sent = 0;
                    self.stalled = None;
                    return true;
                }
                Some(tls) => encrypt(tls, &self.waiting[self.sent..]).inspect(|count| self.sent += count),
                None => (&self.net).write(&self.waiting[self.sent..]).inspect(|count| self.sent += count),
            };
            match wrote {
                Ok(0) => return false,
                Ok(_) => self.stalled = None,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stalled.get_or_insert_with(Instant::now);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Whether its time is up. Called every few seconds.
    pub fn is_over(&mut self, now: Instant, allocated: bool) -> bool {
        if allocated {
            self.idle = now;
        }
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
        self.framer.shrink();
        let over =
            |since: Option<Instant>, within| since.is_some_and(|since| now.duration_since(since) > within);
        over(self.half, HALF_WITHIN)
            || over(self.stalled, STALLED_WITHIN)
            || over(Some(self.idle), IDLE_WITHIN)
    }

    /// Says goodbye, as far as the kernel takes it at once.
    pub fn end(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        self.write();
    }
}

/// Encrypts some messages, each in a record of its own: some clients (coturn's tester) look for one
/// message a record.
fn encrypt(tls: &mut ServerConnection, messages: &[u8]) -> io::Result<usize> {
    let mut given = 0;
    while given < TLS_CHUNK && given < messages.len() {
        let rest = &messages[given..];
        let (message, _) = rest.split_at(frames::first(rest));
        tls.writer().write_all(message)?;
        given += message.len();
    }
    Ok(given)
}

/// One read of ciphertext; what was decrypted before goes first.
fn read_tls(
    tls: &mut ServerConnection,
    net: &TcpStream,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<usize> {
    let mut decrypted = 0;
    loop {
        let mut reader = tls.reader();
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error), // cut without a goodbye
        };
        let count = chunk.len();
        if count == 0 {
            return Ok(0); // its goodbye
        }
        take(chunk)?;
        reader.consume(count);
        decrypted += count;
    }
    if decrypted > 0 {
        return Ok(decrypted);
    }
    let count = tls.read_tls(&mut &*net)?;
    tls.process_new_packets().map_err(io::Error::other)?;
    Ok(count)
}

fn broken(_: frames::Broken) -> io::Error {
    ErrorKind::InvalidData.into()
}
