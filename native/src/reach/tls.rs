//! Which certificates of TURN servers are believed.

use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

static SYSTEM: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();

/// A client's configuration that believes the authorities given (PEM), or the system's where there are
/// none. Reads files: not for the engine's thread.
pub fn config(authorities: &str) -> Result<Arc<ClientConfig>, String> {
    if authorities.is_empty() {
        return SYSTEM.get_or_init(|| from_roots(system())).clone();
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("certificate authorities: {error}"))?;
        roots.add(certificate).map_err(|error| format!("certificate authorities: {error}"))?;
    }
    if roots.is_empty() {
        return Err("certificate authorities: no CERTIFICATE section in the PEM".to_owned());
    }
    from_roots(roots)
}

fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "the system's certificate authorities");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

fn from_roots(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
