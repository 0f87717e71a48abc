//! DTLS with a first retransmission after 100 ms. The backend's 1 s (RFC 6347 section 4.2.4.1) is for peers of whom
//! nothing is known; here ICE has just found the path, and each lost flight would cost a second of dark picture.
//! libwebrtc begins with 50 ms. RFC 9147 section 5.8.2 leaves it to who knows the application.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls};
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};
use str0m::crypto::{CryptoError, CryptoProvider, from_feature_flags};

/// Above the round trip of most paths: what is sent twice for nothing on others is a few packets.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Doubled each time: 100 ms to 12.8 s, in all 25 s; a connection is given up after 30.
const RETRIES: usize = 7;

#[derive(Debug)]
struct Provider;

static PROVIDER: Provider = Provider;

/// str0m's cryptography, with our DTLS timing.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { dtls_provider: &PROVIDER, ..from_feature_flags() })
}

impl DtlsProvider for Provider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        // ICE has proven the far end's address: a cookie would cost a round trip for nothing.
        let mut builder =
            Config::builder().use_server_cookie(false).flight_start_rto(FIRST_WAIT).flight_retries(RETRIES);
        if let Some(mtu) = mtu {
            builder = builder.mtu(mtu);
        }
        let config = builder.build().map_err(|error| CryptoError::Other(error.to_string()))?;
        let cert = DtlsCert { certificate: cert.certificate.clone(), private_key: cert.private_key.clone() };
        let config = Arc::new(config);
        Ok(Box::new(Instance(match version {
            DtlsVersion::Dtls12 => Dtls::new_12(config, cert, now),
            DtlsVersion::Dtls13 => Dtls::new_13(config, cert, now),
            _ => Dtls::new_auto(config, cert, now),
        })))
    }
}

struct Instance(Dtls);

impl UnwindSafe for Instance {}
impl RefUnwindSafe for Instance {}

impl std::fmt::Debug for Instance {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Instance")
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
