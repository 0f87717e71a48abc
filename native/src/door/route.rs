//! Who a connection is for, told by its first byte.

/// What the first byte says; the same table holds outside and inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A TLS record of type handshake (RFC 8446, section 5.1).
    Tls,
    /// A request line: HTTP methods are words of upper-case letters (RFC 9110, section 9).
    Http,
    /// STUN, and so TURN (RFC 8489, section 5). ChannelData, 0x40-0x4F (RFC 8656, section 12),
    /// overlaps with letters, but can never come first on a connection.
    Turn,
    /// Nothing that is served here.
    Unknown,
}

impl Route {
    pub const fn of(first: u8) -> Self {
        match first {
            0x16 => Self::Tls,
            b'A'..=b'Z' => Self::Http,
            0x00..=0x03 => Self::Turn,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn every_first_byte_has_one_route() {
        for byte in 0..=u8::MAX {
            let expected = match byte {
                0x16 => Route::Tls,
                _ if byte.is_ascii_uppercase() => Route::Http,
                _ if byte < 4 => Route::Turn,
                _ => Route::Unknown,
            };
            assert_eq!(Route::of(byte), expected, "{byte:#04x}");
        }
    }
}
