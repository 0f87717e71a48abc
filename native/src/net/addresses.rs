//! Word from the kernel that this machine's addresses have changed (rtnetlink(7)). Elsewhere than on Linux
//! there is none, and a connection learns of it only when it falls silent.

use std::io;
use std::time::{Duration, Instant};

use polling::Poller;

/// A change of networks is several changes of addresses: they are looked at when none came for so long.
const SETTLE: Duration = Duration::from_millis(250);

pub struct Watch {
    source: source::Source,
    due: Option<Instant>,
}

impl Watch {
    /// Errors: this system does not tell.
    pub fn start(poller: &Poller, key: usize) -> io::Result<Self> {
        Ok(Self { source: source::Source::open(poller, key)?, due: None })
    }

    /// Takes the news.
    pub fn read(&mut self, now: Instant) {
        if self.source.read() {
            self.due = Some(now + SETTLE);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Whether the addresses are to be looked at now.
    pub fn is_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}

#[cfg(target_os = "linux")]
mod source {
    use std::io;
    use std::os::fd::OwnedFd;

    use polling::{Event, PollMode, Poller};
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

    /// RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR of linux/rtnetlink.h.
    const GROUPS: u32 = 0x1 | 0x10 | 0x100;

    pub struct Source(OwnedFd);

    impl Source {
        pub fn open(poller: &Poller, key: usize) -> io::Result<Self> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            // No protocol: NETLINK_ROUTE is 0.
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
            // SAFETY: it lives as long as the engine, and the poller is not used after that.
            #[allow(unsafe_code)]
            unsafe {
                poller.add_with_mode(&socket, Event::readable(key), PollMode::Level)?;
            }
            Ok(Self(socket))
        }

        /// Empties the socket; what the messages say is looked up afterwards. Returns whether there were any.
        pub fn read(&mut self) -> bool {
            let mut buffer = [0; 8192];
            let mut any = false;
            loop {
                match recv(&self.0, &mut buffer, RecvFlags::empty()) {
                    Ok(_) => any = true,
                    // Too many for the kernel's buffer: there was news, then.
                    Err(rustix::io::Errno::NOBUFS) => any = true,
                    Err(_) => return any,
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod source {
    use std::io;

    use polling::Poller;

    pub struct Source;

    impl Source {
        pub fn open(_: &Poller, _: usize) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub fn read(&mut self) -> bool {
            false
        }
    }
}
