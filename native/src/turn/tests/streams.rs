//! How long a connection may take, and keep others waiting, by a clock of the test's own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use stun_proto::types::message::BINDING;

use super::super::stream::{Newcomer, Outcome, Stream};
use super::*;

struct House {
    stream: Stream,
    /// The client's end.
    far: TcpStream,
    began: Instant,
    scratch: Vec<u8>,
}

impl House {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (net, peer) = listener.accept().unwrap();
        net.set_nonblocking(true).unwrap();
        let local = net.local_addr().unwrap();
        let client = Client { via: Via::Stream(0), address: peer, local: local.ip() };
        let began = Instant::now();
        let stream = Stream::new(Newcomer { net, tls: None, peer, local }, client, began);
        Self { stream, far, began, scratch: vec![0; 4096] }
    }

    /// The client sends this, after so many seconds; how many messages were whole.
    fn hear(&mut self, after: u64, bytes: &[u8]) -> usize {
        self.far.write_all(bytes).unwrap();
        let now = self.began + Duration::from_secs(after);
        // What was written is there at once, since the two ends are in one kernel.
        self.stream.net.set_nonblocking(false).unwrap();
        self.stream.net.peek(&mut [0]).unwrap();
        self.stream.net.set_nonblocking(true).unwrap();
        let mut whole = 0;
        let outcome = self.stream.read(now, false, &mut self.scratch, |_| whole += 1);
        assert_eq!(outcome, Outcome::Empty);
        whole
    }

    fn is_over(&mut self, after: u64, allocated: bool) -> bool {
        self.stream.is_over(self.began + Duration::from_secs(after), allocated)
    }
}

fn binding() -> Vec<u8> {
    Message::builder_request(BINDING, MessageWriteVec::new()).finish()
}

#[test]
fn who_says_nothing_has_a_minute() {
    let mut house = House::new();
    assert!(!house.is_over(60, false));
    assert!(house.is_over(61, false));
}

#[test]
fn questions_without_an_allocation_prolong_nothing() {
    let mut house = House::new();
    for after in (0..=60).step_by(5) {
        assert_eq!(house.hear(after, &binding()), 1);
        assert!(!house.is_over(after, false));
    }
    assert!(house.is_over(61, false));
}

#[test]
fn an_allocation_keeps_a_silent_stream_and_a_minute_after_it_the_stream_ends() {
    let mut house = House::new();
    for after in (0..=3600).step_by(5) {
        assert!(!house.is_over(after, true), "{after}");
    }
    assert!(!house.is_over(3660, false));
    assert!(house.is_over(3661, false));
}

#[test]
fn a_message_that_comes_byte_by_byte_has_ten_seconds() {
    let mut house = House::new();
    for (second, byte) in binding()[..11].iter().enumerate() {
        assert!(!house.is_over(second as u64, true));
        assert_eq!(house.hear(second as u64, &[*byte]), 0);
    }
    assert!(!house.is_over(10, true));
    assert!(house.is_over(11, true), "though the last byte has just come");
}

#[test]
fn a_busy_stream_may_always_be_in_the_midst_of_a_message() {
    let mut house = House::new();
    let message = binding();
    house.hear(0, &message[..7]);
    for after in 1..100 {
        // The rest of one and the beginning of the next.
        assert_eq!(house.hear(after, &[&message[7..], &message[..7]].concat()), 1);
        assert!(!house.is_over(after, true));
    }
    assert!(house.is_over(110, true), "and then it stops");
}

#[test]
fn who_takes_nothing_has_twenty_seconds() {
    let mut house = House::new();
    let datagram = [&[0x40, 0, 0x04, 0][..], &[7; 1024]].concat();
    // What the kernel takes, and as much as may wait here.
    while house.stream.push(&datagram) && house.stream.write() {}
    assert!(!house.is_over(15, true));
    assert!(house.is_over(25, true));
    // It takes some again.
    let mut taken = vec![0; 64 << 10];
    for _ in 0..100 {
        house.far.read_exact(&mut taken).unwrap();
        assert!(house.stream.write());
        if !house.is_over(25, true) {
            return;
        }
    }
    panic!("the kernel has room, and nothing was written");
}
