//! TLS on the server's own port: the certificate's files, read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;

use crate::limits::CERTIFICATE_CHECK_INTERVAL;
use crate::shutdown::Lifecycle;

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that lead to its root, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}; give the file's path in [tls]", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds no certificate, or no key.
    #[error("{}: no {what} in PEM in it: {reason}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key do not go together, or their kind is not served.
    #[error("{}: cannot be used with its key: {source}", .path.display())]
    Pair {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A certificate for development cannot be made or kept.
    #[error("no certificate of our own: {0}")]
    Make(String),
}

/// When the files were written last, and how long they are: another value, another certificate.
type Stamp = [Option<(SystemTime, u64)>; 2];

/// The certificate in force.
#[derive(Debug)]
pub struct Certificate {
    files: TlsFiles,
    held: Mutex<(Stamp, Arc<ServerConfig>)>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let stamp = stamp(&files);
        let config = read(&files)?;
        Ok(Self {
            files,
            held: Mutex::new((stamp, config)),
        })
    }

    /// For the next connection.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.held().1))
    }

    /// Reads the files again if they have changed, or at any rate; whether another certificate is in force now.
    ///
    /// # Errors
    /// They cannot be used; the one in force stays.
    pub fn reload(&self, at_any_rate: bool) -> Result<bool, TlsError> {
        let stamp = stamp(&self.files);
        if !at_any_rate && self.held().0 == stamp {
            return Ok(false);
        }
        let config = read(&self.files);
        let mut held = self.held();
        // A pair that is half written fails once, and is looked at again when its other half has come.
        held.0 = stamp;
        held.1 = config?;
        Ok(true)
    }

    /// Reloads at SIGHUP, and when the files have changed, until the server ends.
    pub async fn watch(self: Arc<Self>, life: Lifecycle) {
        let mut checks = tokio::time::interval(CERTIFICATE_CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hangups = Hangups::listen();
        loop {
            let told = tokio::select! {
                () = life.ended() => return,
                _ = checks.tick() => false,
                () = hangups.next() => true,
            };
            let this = Arc::clone(&self);
            // Files are read on a thread that may block.
            match tokio::task::spawn_blocking(move || this.reload(told)).await {
                Ok(Ok(true)) => tracing::info!(cert = %self.files.cert.display(), "another certificate is in force"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the certificate was not changed"),
                Err(error) => tracing::error!(%error, "the certificate could not be looked at"),
            }
        }
    }

    /// Nothing under the lock can panic halfway through a change.
    fn held(&self) -> std::sync::MutexGuard<'_, (Stamp, Arc<ServerConfig>)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SIGHUP, where there is such a thing.
struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    fn listen() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.cert, &files.key].map(|path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    })
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let pem = |path: &Path, what: &'static str, reason: String| TlsError::Pem {
        path: path.to_owned(),
        what,
        reason,
    };
    let bytes = |path: &Path| {
        std::fs::read(path).map_err(|source| TlsError::File {
            path: path.to_owned(),
            source,
        })
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&bytes(&files.cert)?)
        .collect::<Result<_, _>>()
        .map_err(|error| pem(&files.cert, "certificate", error.to_string()))?;
    if chain.is_empty() {
        return Err(pem(&files.cert, "certificate", "nothing of the kind".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key)?)
        .map_err(|error| pem(&files.key, "private key", error.to_string()))?;
    let pair = |source| TlsError::Pair {
        path: files.cert.clone(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
