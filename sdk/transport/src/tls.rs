//! TLS settings of a client, in one place for everything of ours that calls a server: always with the provider passed by
//! hand, because asking for "the default" panics when two providers are linked into one program.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
pub use rustls::{ClientConfig, Error};
use rustls_platform_verifier::BuilderVerifierExt;

/// Settings with ring, TLS 1.2 and 1.3. For an `encrypted` endpoint certificates are checked by the operating system; for
/// one without TLS nobody is trusted and no certificates are looked for, so that a machine without any can talk to a local
/// server.
///
/// ```
/// let settings = tombolo_transport::tls::client(false)?;
/// assert!(settings.alpn_protocols.is_empty());
/// # Ok::<(), tombolo_transport::tls::Error>(())
/// ```
///
/// # Errors
/// The operating system's certificates cannot be had.
pub fn client(encrypted: bool) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let config = if encrypted {
        builder.with_platform_verifier()?.with_no_client_auth()
    } else {
        builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth()
    };
    Ok(Arc::new(config))
}

/// Settings that trust the certificates in `pem` and no others: a private authority, or a server of one's own.
///
/// # Errors
/// There is no certificate in it, or one that cannot be read.
pub fn client_trusting(pem: &[u8]) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|e| Error::General(format!("no certificate in PEM: {e}")))?)?;
    }
    if roots.is_empty() {
        return Err(Error::General("there is no certificate in PEM in it".to_owned()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
