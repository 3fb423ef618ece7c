//! TLS settings of a client, in one place for everything of ours that calls a server: always with the provider passed by
//! hand, because asking for "the default" panics when two providers are linked into one program.

use std::sync::Arc;

use rustls::RootCertStore;
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
