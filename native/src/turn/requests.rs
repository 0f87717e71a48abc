//! Requests: who asks, and what is granted.

use std::net::{IpAddr, SocketAddr};

use stun_proto::types::attribute::{
    Attribute, AttributeFromRaw, AttributeStaticType, AttributeType, AttributeWrite, ErrorCode, Fingerprint,
    MessageIntegrity, MessageIntegritySha256, Nonce, PasswordAlgorithm, PasswordAlgorithmValue,
    PasswordAlgorithms, Realm, Software, Username, XorMappedAddress,
};
use stun_proto::types::message::Message;
use turn_client_proto::types::AddressFamily;
use turn_client_proto::types::attribute::{
    ChannelNumber, DontFragment, Lifetime, RequestedAddressFamily, XorPeerAddress,
};

use super::allocation::BindError;
use super::answer::{self, Attributes, Refusal};
use super::credentials::Bearer;
use super::integrity::{Hash, Signer};
use super::outbox::{Client, Outbox, Target, Via};
use super::relays::Relays;
use super::server::{Now, Server};

/// What RFC 5766 section 11 had: RFC 8656 ends at 0x4FFF, but older clients, coturn's too, go beyond.
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7ffe;
/// In a response to a request with CHANGE-REQUEST (RFC 5780 section 7).
const CHANGE_REQUEST: AttributeType = AttributeType::new(0x0003);
const RESPONSE_ORIGIN: AttributeType = AttributeType::new(0x802b);
const OTHER_ADDRESS: AttributeType = AttributeType::new(0x802c);
/// Of the flags in CHANGE-REQUEST.
const CHANGE_IP: u8 = 0x04;
const CHANGE_PORT: u8 = 0x02;
/// What every signed request carries.
pub const COMMON: [AttributeType; 7] = [
    Username::TYPE,
    Realm::TYPE,
    Nonce::TYPE,
    PasswordAlgorithm::TYPE,
    MessageIntegrity::TYPE,
    MessageIntegritySha256::TYPE,
    Fingerprint::TYPE,
];

/// An Allocate with REQUESTED-TRANSPORT alone.
const SHORTEST: usize = 28;
/// What passwords may become keys by, the better one first (RFC 8489 section 14.11). What REST credentials have
/// for a password is one for both. No USERHASH: a name that only its hash is known of says nothing here.
const ALGORITHMS: [PasswordAlgorithmValue; 2] = [PasswordAlgorithmValue::SHA256, PasswordAlgorithmValue::MD5];

/// A request that was signed with good credentials.
pub struct Request<'a> {
    pub message: &'a Message<'a>,
    pub client: Client,
    pub username: &'a str,
    pub call: &'a str,
    pub user: &'a str,
}

impl<'a> Request<'a> {
    /// An attribute, if it is there and well-formed. Errors: it is malformed.
    pub fn get<T: AttributeFromRaw<'a> + AttributeStaticType>(&self) -> Result<Option<T>, Refusal> {
        let Some(raw) = self.message.raw_attribute(T::TYPE) else { return Ok(None) };
        match T::from_raw(raw) {
            Ok(attribute) => Ok(Some(attribute)),
            Err(_) => Err(ErrorCode::BAD_REQUEST.into()),
        }
    }

    pub fn known(&self, more: &[AttributeType]) -> Result<(), Refusal> {
        answer::unknown(self.message, &[&COMMON, more].concat()).map_or(Ok(()), Err)
    }
}

impl Server {
    pub fn request(
        &mut self,
        now: Now,
        client: Client,
        kind: u16,
        datagram: &[u8],
        relays: &mut dyn Relays,
        out: &mut Outbox,
    ) {
        let known = matches!(kind, 0x0001 | 0x0003 | 0x0004 | 0x0008 | 0x0009);
        let Some(message) =
            Some(datagram).filter(|_| known).and_then(|bytes| Message::from_bytes(bytes).ok())
        else {
            return self.counters.discarded.up();
        };
        if self.is_relay(&client) {
            return self.counters.discarded.up();
        }
        if kind == 0x0001 {
            return self.binding(client, &message, out);
        }
        let (username, signer) = match self.authenticate(now, client, &message, datagram) {
            Ok(found) => found,
            Err(refusal) => {
                if self.challenges.may(client.address.ip(), now.at) {
                    out.push(Target::Client(client), &[&answer::write(&message, Err(refusal), None)]);
                } else {
                    self.counters.refused_challenges.up();
                }
                return;
            }
        };
        let outcome = match Bearer::parse(&username) {
            Some(Bearer { call, user, .. }) => {
                let request = Request { message: &message, client, username: &username, call, user };
                match kind {
                    0x0003 => self.allocate(now, &request, relays),
                    0x0004 => self.refresh(now, &request, relays),
                    0x0008 => self.create_permission(now, &request),
                    _ => self.channel_bind(now, &request),
                }
            }
            None => Err(ErrorCode::UNAUTHORIZED.into()),
        };
        if let Err(refusal) = &outcome {
            match refusal.code {
                ErrorCode::ALLOCATION_QUOTA_REACHED => self.counters.refused_quota.up(),
                ErrorCode::INSUFFICIENT_CAPACITY => self.counters.refused_capacity.up(),
                ErrorCode::FORBIDDEN => self.counters.refused_peers.up(),
                _ => {}
            }
        }
        let answer = answer::write(&message, outcome, Some(&signer));
        out.push(Target::Client(client), &[&answer]);
    }

    /// The long-term credential mechanism (RFC 8489 section 9.2.4): username, and who signs the answer.
    fn authenticate(
        &self,
        now: Now,
        client: Client,
        message: &Message<'_>,
        datagram: &[u8],
    ) -> Result<(String, Signer), Refusal> {
        let challenge = |code: u16| {
            let mut more: Attributes = Vec::new();
            if let Ok(realm) = Realm::new(self.credentials.realm()) {
                more.push(Box::new(realm));
            }
            if let Ok(nonce) = Nonce::new(&self.credentials.nonce(&client, now.unix)) {
                more.push(Box::new(nonce));
            }
            more.push(Box::new(PasswordAlgorithms::new(&ALGORITHMS)));
            Refusal { code, more }
        };
        let signed = message.has_attribute(MessageIntegrity::TYPE)
            || message.has_attribute(MessageIntegritySha256::TYPE);
        if !signed {
            // Nothing that may be asked for is so short, and a challenge would be more than twice as long.
            let whole = datagram.len() >= SHORTEST;
            return Err(if whole {
                challenge(ErrorCode::UNAUTHORIZED)
            } else {
                ErrorCode::BAD_REQUEST.into()
            });
        }
        let (Ok(username), Ok(realm), Ok(nonce)) =
            (message.attribute::<Username>(), message.attribute::<Realm>(), message.attribute::<Nonce>())
        else {
            return Err(ErrorCode::BAD_REQUEST.into());
        };
        if !self.credentials.is_fresh(nonce.nonce(), &client, now.unix) {
            return Err(challenge(ErrorCode::STALE_NONCE));
        }
        let username = username.username();
        let Some(bearer) = Bearer::parse(username) else {
            self.counters.refused_credentials.up();
            return Err(challenge(ErrorCode::UNAUTHORIZED));
        };
        let algorithm = password_algorithm(message)?;
        // The stronger signature, where there are both.
        let sha256 = message.has_attribute(MessageIntegritySha256::TYPE);
        let hash = if sha256 { Hash::Sha256 } else { Hash::Sha1 };
        let signer = self.credentials.signer(username, algorithm, hash);
        if realm.realm() != self.credentials.realm() || !signer.verify(datagram) {
            self.counters.refused_credentials.up();
            return Err(challenge(ErrorCode::UNAUTHORIZED));
        }
        let call = self.calls.find(bearer.call).and_then(|number| self.calls.get(number));
        let kept = call.map_or(0, |call| call.kept_until);
        // What lives may live on: a client cannot change its credentials without a new allocation.
        let lives =
            self.clients.get(&client).is_some_and(|key| *self.allocations[*key].username == *username);
        let revoked = call.is_some_and(|call| call.revoked_until > now.unix);
        if revoked || (bearer.expires.max(kept) <= now.unix && !lives) {
            self.counters.refused_expired.up();
            return Err(challenge(ErrorCode::UNAUTHORIZED));
        }
        Ok((username.to_owned(), signer))
    }

    /// What address a client has (RFC 8489 section 12), without credentials.
    fn binding(&self, client: Client, message: &Message<'_>, out: &mut Outbox) {
        self.counters.bindings.up();
        let known = [&COMMON[..], &[CHANGE_REQUEST]].concat();
        let mut from = client;
        let outcome = match answer::unknown(message, &known) {
            Some(refusal) => Err(refusal),
            None => Ok(self.mapped(&mut from, message)),
        };
        out.push(Target::Client(from), &[&answer::write(message, outcome, None)]);
    }

    /// A Binding's answer; `from` becomes where it is sent from.
    fn mapped(&self, from: &mut Client, message: &Message<'_>) -> Attributes {
        let mapped = XorMappedAddress::new(from.address, message.transaction_id());
        let mut attributes: Attributes = vec![Box::new(mapped)];
        let (Some(change), Via::Udp(listener)) = (message.raw_attribute(CHANGE_REQUEST), from.via) else {
            return attributes;
        };
        let Some(here) = self.config.listening.get(usize::from(listener)) else { return attributes };
        let others = self.config.listening.iter().enumerate();
        let others = others.filter(|(_, at)| at.is_ipv4() == here.is_ipv4() && at.port() != here.port());
        let Some((index, other)) = others.max_by_key(|(_, at)| at.ip() != here.ip()) else {
            return attributes;
        };
        let address = |at: &SocketAddr| {
            let ip = if at.ip().is_unspecified() { from.local } else { at.ip() };
            SocketAddr::new(ip, at.port())
        };
        let (mut origin, other) = (address(here), address(other));
        let flags = change.value.last().copied().unwrap_or(0);
        if flags & CHANGE_PORT != 0 && (flags & CHANGE_IP == 0 || other.ip() != origin.ip()) {
            from.via = Via::Udp(index as u16);
            origin = other;
        }
        attributes.push(Box::new(answer::plain_address(RESPONSE_ORIGIN, origin)));
        attributes.push(Box::new(answer::plain_address(OTHER_ADDRESS, other)));
        attributes
    }

    /// The allocation that a request is about. Errors: none (437), another user's (441).
    pub fn allocation_of(&self, request: &Request<'_>) -> Result<usize, Refusal> {
        let key = *self.clients.get(&request.client).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if *self.allocations[key].username != *request.username {
            return Err(ErrorCode::WRONG_CREDENTIALS.into());
        }
        Ok(key)
    }

    fn refresh(
        &mut self,
        now: Now,
        request: &Request<'_>,
        relays: &mut dyn Relays,
    ) -> Result<Attributes, Refusal> {
        request.known(&[Lifetime::TYPE, RequestedAddressFamily::TYPE])?;
        let key = self.allocation_of(request)?;
        let asked = request.get::<Lifetime>()?.map(|lifetime| lifetime.seconds());
        let ipv6 =
            request.get::<RequestedAddressFamily>()?.map(|asked| asked.family() == AddressFamily::IPV6);
        let allocation = &mut self.allocations[key];
        if ipv6.is_some_and(|ipv6| allocation.relays.iter().all(|relay| relay.local.is_ipv6() != ipv6)) {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH.into());
        }
        if asked == Some(0) {
            match ipv6 {
                Some(ipv6) if allocation.relays.len() > 1 => {
                    let index = usize::from(allocation.relays[0].local.is_ipv6() != ipv6);
                    let opened = allocation.relays.remove(index);
                    self.shut(&opened, relays);
                }
                _ => self.remove(key, relays),
            }
            return Ok(vec![Box::new(Lifetime::new(0))]);
        }
        let lifetime = self.lifetime(asked);
        let allocation = &mut self.allocations[key];
        allocation.lifetime = lifetime;
        allocation.until = now.at + std::time::Duration::from_secs(lifetime.into());
        Ok(vec![Box::new(Lifetime::new(lifetime))])
    }

    fn create_permission(&mut self, now: Now, request: &Request<'_>) -> Result<Attributes, Refusal> {
        request.known(&[XorPeerAddress::TYPE])?;
        let key = self.allocation_of(request)?;
        let mut permitted: Vec<(IpAddr, bool)> = Vec::new();
        for (_, raw) in request.message.iter_attributes() {
            if raw.get_type() != XorPeerAddress::TYPE {
                continue;
            }
            let peer = XorPeerAddress::from_raw(raw).map_err(|_| ErrorCode::BAD_REQUEST)?;
            let ip = peer.addr(request.message.transaction_id()).ip();
            permitted.push((ip, self.may_permit(key, ip)?));
        }
        if permitted.is_empty() {
            return Err(ErrorCode::BAD_REQUEST.into());
        }
        for (ip, any_port) in permitted {
            if !self.allocations[key].permit(ip, any_port, now.at) {
                return Err(ErrorCode::INSUFFICIENT_CAPACITY.into());
            }
        }
        Ok(Vec::new())
    }

    fn channel_bind(&mut self, now: Now, request: &Request<'_>) -> Result<Attributes, Refusal> {
        request.known(&[ChannelNumber::TYPE, XorPeerAddress::TYPE])?;
        let key = self.allocation_of(request)?;
        let number = request.get::<ChannelNumber>()?.map(|number| number.channel());
        let peer = request.get::<XorPeerAddress>()?;
        let (Some(number), Some(peer)) = (number.filter(|number| CHANNELS.contains(number)), peer) else {
            return Err(ErrorCode::BAD_REQUEST.into());
        };
        let peer = peer.addr(request.message.transaction_id());
        let any_port = self.may_permit(key, peer.ip())?;
        let allocation = &mut self.allocations[key];
        match allocation.bind(number, peer, now.at) {
            Ok(()) => {}
            Err(BindError::Taken) => return Err(ErrorCode::BAD_REQUEST.into()),
            Err(BindError::TooMany) => return Err(ErrorCode::INSUFFICIENT_CAPACITY.into()),
        }
        if !allocation.permit(peer.ip(), any_port, now.at) {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY.into());
        }
        Ok(Vec::new())
    }

    /// Whether an allocation may have a permission for an address, and whether for all its ports.
    fn may_permit(&self, key: usize, ip: IpAddr) -> Result<bool, Refusal> {
        let allocation = &self.allocations[key];
        if allocation.relay_for(ip).is_none() {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH.into());
        }
        Ok(self.judge_ip(allocation, ip).ok_or(ErrorCode::FORBIDDEN)?)
    }
}

/// How the client has made its key. Who does not say so uses MD5. Errors: it names what was not offered, or
/// was offered something else on the way (RFC 8489 section 9.2.4).
fn password_algorithm(message: &Message<'_>) -> Result<PasswordAlgorithmValue, Refusal> {
    let offered = message.raw_attribute(PasswordAlgorithms::TYPE);
    let chosen = message.raw_attribute(PasswordAlgorithm::TYPE);
    let (offered, chosen) = match (offered, chosen) {
        (None, None) => return Ok(PasswordAlgorithmValue::MD5),
        (Some(offered), Some(chosen)) => (offered, chosen),
        _ => return Err(ErrorCode::BAD_REQUEST.into()),
    };
    if *offered.value != *PasswordAlgorithms::new(&ALGORITHMS).to_raw().value {
        return Err(ErrorCode::BAD_REQUEST.into());
    }
    match PasswordAlgorithm::from_raw(chosen) {
        Ok(chosen) if ALGORITHMS.contains(&chosen.algorithm()) => Ok(chosen.algorithm()),
        _ => Err(ErrorCode::BAD_REQUEST.into()),
    }
}

/// Told with an allocation.
pub fn software() -> Option<Software> {
    Software::new("Plait").ok()
}

pub const DONT_FRAGMENT: AttributeType = DontFragment::TYPE;
