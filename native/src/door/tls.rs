//! rustls' side of the configuration.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// An ACME server that looks whether a name is ours offers this, and nothing else (RFC 8737).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// What is shown to ACME servers, by host name.
#[derive(Default)]
pub struct Challenges(RwLock<HashMap<String, Arc<CertifiedKey>>>);

impl Challenges {
    /// Shows this certificate to whoever asks for `name` by `acme-tls/1`.
    pub fn show(&self, name: &str, chain: &[u8], key: &[u8]) -> Result<(), String> {
        let (chain, key) = parsed(chain, key)?;
        let key =
            aws_lc_rs::sign::any_supported_type(&key).map_err(|error| format!("private key: {error}"))?;
        // Unchecked: its critical extension is none that a client of the web would know.
        let certified = Arc::new(CertifiedKey::new(chain, key));
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_ascii_lowercase(), certified);
        Ok(())
    }

    pub fn hide(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&name.to_ascii_lowercase());
    }

    fn of(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        shown.get(&name.to_ascii_lowercase()).cloned()
    }
}

struct Resolver {
    own: Arc<CertifiedKey>,
    challenges: Arc<Challenges>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver") // holds a key
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello.alpn().is_some_and(|offered| offered.eq([ACME_TLS])) {
            return self.challenges.of(hello.server_name()?);
        }
        Some(Arc::clone(&self.own))
    }
}

/// A server's configuration from a PEM chain (leaf first) and a PEM key (PKCS #8, PKCS #1 or SEC 1).
pub fn config(chain: &[u8], key: &[u8], challenges: Arc<Challenges>) -> Result<Arc<ServerConfig>, String> {
    let own = Arc::new(certified(chain, key)?);
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver { own, challenges }));
    // TURN by the name of RFC 7443; clients that offer none are let in as well.
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"stun.turn".to_vec(), ACME_TLS.to_vec()];
    // Stateless tickets: a device that comes back pays for no second handshake, and we keep nothing.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

fn certified(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let (chain, key) = parsed(chain, key)?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "private key: it does not belong to the certificate".into(),
        other => format!("certificate and key: {other}"),
    })
}

type Parsed = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn parsed(chain: &[u8], key: &[u8]) -> Result<Parsed, String> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("certificate chain: {}", plain(&error)))?;
    if chain.is_empty() {
        return Err("certificate chain: no CERTIFICATE section in the PEM".into());
    }
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("private key: {}", plain(&error)))?;
    Ok((chain, key))
}

fn plain(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "no such section in the PEM".into(),
        other => other.to_string(),
    }
}
