//! TLS settings: always with the provider passed by hand, because asking for "the default" panics when two providers are
//! linked into one program.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::CloseReason;

/// The client configuration: ring, TLS 1.2 and 1.3, certificates checked by the operating system.
pub(crate) fn platform() -> Result<Arc<ClientConfig>, CloseReason> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(CloseReason::unreachable)?;
    let config = builder
        .with_platform_verifier()
        .map_err(CloseReason::unreachable)?
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A configuration that trusts nobody, for endpoints without TLS: it loads no certificates.
pub(crate) fn none() -> Result<Arc<ClientConfig>, CloseReason> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(CloseReason::unreachable)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(Arc::new(config))
}
