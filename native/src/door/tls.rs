//! rustls' side of the configuration.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A server's configuration from a PEM chain (leaf first) and a PEM key (PKCS #8, PKCS #1 or SEC 1).
pub fn config(chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, String> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("certificate chain: {}", plain(&error)))?;
    if chain.is_empty() {
        return Err("certificate chain: no CERTIFICATE section in the PEM".into());
    }
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("private key: {}", plain(&error)))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "private key: it does not belong to the certificate".into(),
            other => format!("certificate and key: {other}"),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Stateless tickets: a device that comes back pays for no second handshake, and we keep nothing.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

fn plain(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "no such section in the PEM".into(),
        other => other.to_string(),
    }
}
