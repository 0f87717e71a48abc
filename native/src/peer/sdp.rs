//! What is read from session descriptions before str0m sees them (RFC 8866, RFC 8839).

use std::net::IpAddr;

use str0m::Candidate;

/// What RFC 8841 assumes where a description does not say how long a message may be.
const ASSUMED_MESSAGE_SIZE: usize = 65_536;

/// A remote description taken apart.
pub struct Remote {
    /// The description without its candidate lines.
    pub sdp: String,
    pub candidates: Vec<Candidate>,
    /// Candidates that we cannot use: TCP, malformed lines.
    pub ignored: u64,
    /// The names of its media lines, channels included.
    pub mids: Vec<String>,
    pub has_channels: bool,
    /// Lines that take FIR and no PLI.
    pub fir_alone: Vec<String>,
    /// The longest message that the far end takes, in bytes; `usize::MAX` where it sets no limit.
    pub max_message_size: usize,
}

/// What a candidate line turned out to be.
pub enum Parsed {
    Usable(Box<Candidate>),
    /// Behind a `.local` name, which Python resolves: its line comes again with the address.
    Hidden,
    /// Well-formed, and of no use here: not UDP, or of RTCP.
    Ignored,
}

/// Takes a remote description apart. A candidate line that cannot be used must not make the whole
/// description fail: browsers hide their addresses behind `.local` names.
pub fn read_remote(sdp: &str) -> Remote {
    let mut remote = Remote {
        sdp: String::with_capacity(sdp.len()),
        candidates: Vec::new(),
        ignored: 0,
        mids: Vec::new(),
        has_channels: false,
        fir_alone: Vec::new(),
        max_message_size: ASSUMED_MESSAGE_SIZE,
    };
    for section in sdp.split("\nm=").skip(1) {
        let names = |feedback| section.lines().any(|line| is_feedback(line, feedback));
        if let (Some(mid), true, false) = (mid_of(section), names("ccm fir"), names("nack pli")) {
            remote.fir_alone.push(mid.to_owned());
        }
    }
    for line in sdp.lines() {
        if line.starts_with("a=candidate:") {
            match read_candidate(line) {
                Ok(Parsed::Usable(candidate)) => remote.candidates.push(*candidate),
                Ok(Parsed::Hidden) => {}
                Ok(Parsed::Ignored) | Err(_) => remote.ignored += 1,
            }
            continue;
        }
        if let Some(mid) = line.strip_prefix("a=mid:") {
            remote.mids.push(mid.trim().to_owned());
        } else if line.starts_with("m=application ") {
            remote.has_channels = true;
        } else if let Some(size) = line.strip_prefix("a=max-message-size:") {
            let size = size.trim().parse().unwrap_or(ASSUMED_MESSAGE_SIZE);
            remote.max_message_size = if size == 0 { usize::MAX } else { size };
        }
        remote.sdp.push_str(line);
        remote.sdp.push_str("\r\n");
    }
    remote
}

fn mid_of(section: &str) -> Option<&str> {
    section.lines().find_map(|line| line.strip_prefix("a=mid:")).map(str::trim)
}

/// Whether a line names a kind of feedback (RFC 4585 section 4.2), for whichever payload type.
fn is_feedback(line: &str, feedback: &str) -> bool {
    let named = line.strip_prefix("a=rtcp-fb:").and_then(|rest| rest.split_once(' '));
    named.is_some_and(|(_, kind)| kind.trim() == feedback)
}

/// Reads a candidate line, with or without `a=` (RFC 8839 section 5.1).
///
/// Errors: a sentence that says what is wrong with it.
pub fn read_candidate(line: &str) -> Result<Parsed, String> {
    let line = line.trim();
    let line = line.strip_prefix("a=").unwrap_or(line);
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [head, component, transport, priority, address, port, typ, kind, ..] = fields[..] else {
        return Err(format!("not a candidate line: {line:.80}"));
    };
    let well_formed = head.starts_with("candidate:")
        && component.parse::<u16>().is_ok()
        && priority.parse::<u32>().is_ok()
        && port.parse::<u16>().is_ok()
        && typ == "typ"
        && matches!(kind, "host" | "srflx" | "prflx" | "relay");
    if !well_formed {
        return Err(format!("not a candidate line: {line:.80}"));
    }
    if !transport.eq_ignore_ascii_case("udp") || component != "1" {
        return Ok(Parsed::Ignored);
    }
    if address.to_ascii_lowercase().ends_with(".local") {
        return Ok(Parsed::Hidden);
    }
    let usable = |ip: IpAddr| !ip.is_unspecified() && !ip.is_multicast();
    if port == "0" || !address.parse().is_ok_and(usable) {
        return Err(format!("not an address to send to: {address:.80} port {port}"));
    }
    match Candidate::from_sdp_string(line) {
        Ok(candidate) => Ok(Parsed::Usable(Box::new(candidate))),
        Err(error) => Err(format!("not a candidate line: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "candidate:1 1 udp 2113929471 192.168.1.9 40000 typ host";

    #[test]
    fn a_host_candidate_is_usable() {
        assert!(matches!(read_candidate(HOST), Ok(Parsed::Usable(_))));
        assert!(matches!(read_candidate(&format!("a={HOST}\r\n")), Ok(Parsed::Usable(_))));
    }

    #[test]
    fn fir_alone_is_noticed() {
        let section = |mid: &str, feedback: &str| {
            format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{mid}\r\na=rtcp-fb:96 {feedback}\r\n")
        };
        let both = section("2", "nack pli\r\na=rtcp-fb:96 ccm fir");
        let sdp = format!("v=0\r\n{}{}{both}", section("0", "ccm fir"), section("1", "nack pli"));
        assert_eq!(read_remote(&sdp).fir_alone, ["0"]);
    }

    #[test]
    fn a_name_is_hidden() {
        let line = "candidate:1 1 udp 2113929471 5d1c-7f.Local 40000 typ host";
        assert!(matches!(read_candidate(line), Ok(Parsed::Hidden)));
    }

    #[test]
    fn tcp_and_rtcp_are_ignored() {
        for line in [
            "candidate:1 1 tcp 1518280447 5d1c-7f.local 9 typ host tcptype active",
            "candidate:1 1 tcp 1518280447 192.168.1.9 9 typ host tcptype active",
            "candidate:1 2 udp 2113929471 192.168.1.9 40001 typ host",
        ] {
            assert!(matches!(read_candidate(line), Ok(Parsed::Ignored)), "{line}");
        }
    }

    #[test]
    fn garbage_is_refused() {
        for line in [
            "",
            "hello",
            "candidate:1 1 udp x 192.168.1.9 40000 typ host",
            "candidate:1 1 udp 1 192.168.1.999 40000 typ host",
            "candidate:1 1 udp 1 192.168.1.9 400000 typ host",
            "candidate:1 1 udp 1 192.168.1.9 0 typ host",
            "candidate:1 1 udp 1 224.0.0.1 40000 typ host",
            "candidate:1 1 udp 1 :: 40000 typ host",
            "candidate:1 1 udp 1 192.168.1.9 40000 typ guest",
            "candidate:1 1 udp 1 example.org 40000 typ host",
        ] {
            assert!(read_candidate(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_description_is_taken_apart() {
        let remote = read_remote(&format!(
            "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na={HOST}\r\n\
             a=mid:0\r\na=candidate:2 1 udp 1 x.local 9 typ host\r\n\
             a=candidate:3 1 tcp 1 192.168.1.9 9 typ host\r\na=max-message-size:262144\r\n"
        ));
        assert_eq!(remote.candidates.len(), 1);
        assert_eq!(remote.ignored, 1);
        assert!(remote.has_channels);
        assert_eq!(remote.mids, ["0"]);
        assert_eq!(remote.max_message_size, 262_144);
        assert!(!remote.sdp.contains("candidate"));
    }

    #[test]
    fn zero_means_no_limit_and_absence_means_64_kib() {
        assert_eq!(read_remote("a=max-message-size:0\n").max_message_size, usize::MAX);
        assert_eq!(read_remote("v=0\n").max_message_size, 65_536);
    }
}
