//! The Allocate request (RFC 8656 section 7.2).

use stun_proto::types::attribute::{AttributeStaticType, ErrorCode, XorMappedAddress};
use turn_client_proto::types::AddressFamily;
use turn_client_proto::types::attribute::{
    AdditionalAddressFamily, AddressErrorCode, EvenPort, Lifetime, RequestedAddressFamily,
    RequestedTransport, ReservationToken, XorRelayedAddress,
};

use super::allocation::{Allocation, Start};
use super::answer::{Attributes, Refusal};
use super::relays::{Opened, Ports, Relays, Unavailable};
use super::requests::{DONT_FRAGMENT, Request, software};
use super::server::{Now, Reservation, Server};
use super::tables::{Call, User};

/// The only transport between server and peers: UDP (IANA protocol number).
const UDP: u8 = 17;
/// RFC 8656 section 3.2, where the owner allows that much.
const DEFAULT_LIFETIME: u32 = 600;
/// RFC 8656 section 7.2.
const RESERVED_FOR: std::time::Duration = std::time::Duration::from_secs(30);

/// What relays are asked for.
enum Wanted {
    One { ipv6: bool, ports: Ports },
    Both,
    Reserved(u64),
}

impl Server {
    pub fn allocate(
        &mut self,
        now: Now,
        request: &Request<'_>,
        relays: &mut dyn Relays,
    ) -> Result<Attributes, Refusal> {
        if let Some(&key) = self.clients.get(&request.client) {
            // The same request again: the answer was lost.
            let allocation = &self.allocations[key];
            if allocation.transaction == request.message.transaction_id()
                && *allocation.username == *request.username
            {
                return Ok(granted(allocation, request));
            }
            return Err(ErrorCode::ALLOCATION_MISMATCH.into());
        }
        let wanted = wanted(request)?;
        let asked = request.get::<Lifetime>()?.map(|lifetime| lifetime.seconds());
        let rate = self.config.max_rate;
        let user = self.users.enter(request.user, || User::new(rate, now.at));
        let more = usize::from(matches!(wanted, Wanted::One { ports: Ports::Pair, .. })) + 1;
        let has = self.users.get(user).map_or(0, |user| user.allocations);
        // A reservation that is taken was counted when it was made.
        let counted = !matches!(wanted, Wanted::Reserved(_));
        if counted && has + more > self.config.max_allocations {
            return Err(ErrorCode::ALLOCATION_QUOTA_REACHED.into());
        }
        let (opened, reserved, lacking) = self.open(request, user, wanted, relays)?;
        let token = reserved.map(|opened| self.reserve(opened, user, now));
        if counted && let Some(user) = self.users.get_mut(user) {
            user.allocations += more;
        }
        let call = self.calls.enter(request.call, Call::default);
        let start = Start {
            client: request.client,
            username: request.username.into(),
            user,
            call,
            transaction: request.message.transaction_id(),
            relays: opened,
            token,
        };
        let allocation = Allocation::new(start, self.lifetime(asked), now.at);
        let key = self.enter(allocation);
        let mut attributes = granted(&self.allocations[key], request);
        if let Some(code) = lacking
            && let Ok(error) = ErrorCode::builder(code).build()
        {
            attributes.push(Box::new(AddressErrorCode::new(AddressFamily::IPV6, error)));
        }
        Ok(attributes)
    }

    /// Opens what is wanted: the relays, one more for later, and why the second family is not there.
    #[allow(clippy::type_complexity)] // named in the line above
    fn open(
        &mut self,
        request: &Request<'_>,
        user: usize,
        wanted: Wanted,
        relays: &mut dyn Relays,
    ) -> Result<(Vec<Opened>, Option<Opened>, Option<u16>), Refusal> {
        let local = request.client.local;
        match wanted {
            Wanted::One { ipv6, ports } => {
                let (opened, reserved) = relays.open(local, ipv6, ports).map_err(code)?;
                Ok((vec![opened], reserved, None))
            }
            Wanted::Both => {
                let (first, _) = relays.open(local, false, Ports::Any).map_err(code)?;
                match relays.open(local, true, Ports::Any) {
                    Ok((second, _)) => Ok((vec![first, second], None, None)),
                    Err(why) => Ok((vec![first], None, Some(code(why)))),
                }
            }
            Wanted::Reserved(token) => {
                let is_theirs = self.reservations.get(&token).is_some_and(|found| found.user == user);
                let found = if is_theirs { self.reservations.remove(&token) } else { None };
                let found = found.ok_or(ErrorCode::INSUFFICIENT_CAPACITY)?;
                Ok((vec![found.opened], None, None))
            }
        }
    }

    fn reserve(&mut self, opened: Opened, user: usize, now: Now) -> u64 {
        let mut bytes = [0; 8];
        // Only ever fails together with all else; the token then is guessable, and still bound to the user.
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        let token = u64::from_be_bytes(bytes);
        self.reservations.insert(token, Reservation { opened, user, until: now.at + RESERVED_FOR });
        token
    }

    /// Seconds granted where `asked` are asked for.
    pub fn lifetime(&self, asked: Option<u32>) -> u32 {
        let most = self.config.max_lifetime;
        asked.unwrap_or(0).clamp(DEFAULT_LIFETIME.min(most), most)
    }
}

fn code(why: Unavailable) -> u16 {
    match why {
        Unavailable::Family => ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
        Unavailable::Capacity => ErrorCode::INSUFFICIENT_CAPACITY,
    }
}

fn wanted(request: &Request<'_>) -> Result<Wanted, Refusal> {
    request.known(&[
        RequestedTransport::TYPE,
        Lifetime::TYPE,
        DONT_FRAGMENT,
        EvenPort::TYPE,
        ReservationToken::TYPE,
        RequestedAddressFamily::TYPE,
    ])?;
    let transport = request.get::<RequestedTransport>()?.ok_or(ErrorCode::BAD_REQUEST)?;
    if transport.protocol() != UDP {
        return Err(ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL.into());
    }
    let even = request.get::<EvenPort>()?;
    let token = request.get::<ReservationToken>()?;
    let requested = match request.message.raw_attribute(RequestedAddressFamily::TYPE) {
        Some(raw) if !matches!(raw.value.first(), Some(1 | 2)) => {
            return Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED.into());
        }
        _ => request.get::<RequestedAddressFamily>()?,
    };
    let additional = request.get::<AdditionalAddressFamily>()?;
    let pair = even.as_ref().is_some_and(EvenPort::requested);
    if let Some(token) = token {
        return if even.is_none() && requested.is_none() && additional.is_none() {
            Ok(Wanted::Reserved(token.token()))
        } else {
            Err(ErrorCode::BAD_REQUEST.into())
        };
    }
    if let Some(additional) = additional {
        let fits = additional.family() == AddressFamily::IPV6 && requested.is_none() && !pair;
        return if fits { Ok(Wanted::Both) } else { Err(ErrorCode::BAD_REQUEST.into()) };
    }
    let ports = match even {
        None => Ports::Any,
        Some(_) if pair => Ports::Pair,
        Some(_) => Ports::Even,
    };
    // IPv4 where nothing is said, whatever the client came by (RFC 8656 section 7.2).
    let ipv6 = requested.is_some_and(|requested| requested.family() == AddressFamily::IPV6);
    Ok(Wanted::One { ipv6, ports })
}

/// The answer that tells of an allocation.
fn granted(allocation: &Allocation, request: &Request<'_>) -> Attributes {
    let transaction = request.message.transaction_id();
    let mut attributes: Attributes = Vec::new();
    for opened in &allocation.relays {
        attributes.push(Box::new(XorRelayedAddress::new(opened.published, transaction)));
    }
    attributes.push(Box::new(Lifetime::new(allocation.lifetime)));
    if let Some(token) = allocation.token {
        attributes.push(Box::new(ReservationToken::new(token)));
    }
    attributes.push(Box::new(XorMappedAddress::new(request.client.address, transaction)));
    if let Some(software) = software() {
        attributes.push(Box::new(software));
    }
    attributes
}
