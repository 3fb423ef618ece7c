//! The accept loops, of HTTP and of MQTT: bounded connections, bounded waits, and an end that finishes what was begun.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::Service as _;

use crate::auth::Shown;
use crate::limits::{HANDSHAKE_TIMEOUT, HEADER_BYTES_MAX};
use crate::mqtt;
use crate::routes::App;
use crate::tls::Certificate;

/// A pause after an accept that failed, usually for want of file descriptors: trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The place that a connection takes of [`CONNECTIONS_MAX`](crate::limits::CONNECTIONS_MAX). It travels in the request's
/// extensions so that a WebSocket keeps it after the upgrade.
#[derive(Clone, Debug)]
pub struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
    secured: bool,
}

impl Place {
    /// Whether the connection is one of TLS.
    #[must_use]
    pub fn is_secured(&self) -> bool {
        self.secured
    }
}

/// What a TLS connection begins with: a record of the handshake. No HTTP method does.
const TLS_HANDSHAKE: u8 = 0x16;

/// What is said to who speaks HTTP where TLS is spoken.
const TLS_HERE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 50\r\n\r\n\
                        TLS is spoken here: use an https:// or wss:// URL.";

/// What is spoken on a port.
#[derive(Clone, Debug)]
pub enum Spoken {
    /// HTTP, and what comes of its upgrades.
    Http(Router),
    /// MQTT.
    Mqtt,
}

/// The places of all ports together.
#[derive(Clone, Debug)]
pub struct Places(Arc<Semaphore>);

impl Places {
    /// So many connections at once.
    #[must_use]
    pub fn new(connections_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))))
    }
}

/// Accepts connections until the server ends; with a certificate over TLS alone.
pub async fn accept(
    listener: TcpListener,
    spoken: Spoken,
    app: Arc<App>,
    certificate: Option<Arc<Certificate>>,
    places: Places,
) {
    loop {
        let accepted = async {
            // The semaphore is never closed; if it were, there would be nothing left to accept for.
            let permit = Arc::clone(&places.0).acquire_owned().await.ok()?;
            Some((listener.accept().await, permit))
        };
        let (accepted, permit) = tokio::select! {
            () = app.life.ended() => return,
            accepted = accepted => match accepted {
                Some(both) => both,
                None => return,
            },
        };
        match accepted {
            Ok((stream, _peer)) => {
                let place = Place {
                    _permit: Arc::new(permit),
                    secured: certificate.is_some(),
                };
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY");
                }
                let (spoken, app) = (spoken.clone(), Arc::clone(&app));
                match &certificate {
                    None => app.life.tasks.clone().spawn(connection(stream, spoken, app, place)),
                    Some(certificate) => {
                        let acceptor = certificate.acceptor();
                        app.life.tasks.clone().spawn(async move {
                            if let Some(stream) = shake_hands(stream, acceptor, &app, &spoken).await {
                                connection(stream, spoken, app, place).await;
                            }
                        })
                    }
                };
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The connection inside TLS; `None` if there is none to be had in time.
async fn shake_hands(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
    app: &App,
    spoken: &Spoken,
) -> Option<TlsStream<TcpStream>> {
    let shaken = async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first != [TLS_HANDSHAKE] {
            if matches!(spoken, Spoken::Http(_)) {
                stream.write_all(TLS_HERE.as_bytes()).await?;
            }
            stream.shutdown().await?;
            // Until the other side has closed too: what it has sent is unread, and would reset the connection.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            return Ok(None);
        }
        acceptor.accept(stream).await.map(Some)
    };
    tokio::select! {
        () = app.life.ended() => None,
        shaken = timeout(HANDSHAKE_TIMEOUT, shaken) => match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, "no TLS");
                None
            }
            Err(_) => None,
        },
    }
}

async fn connection<S>(stream: S, spoken: Spoken, app: Arc<App>, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = match spoken {
        Spoken::Http(router) => router,
        Spoken::Mqtt => {
            let (reader, writer) = tokio::io::split(stream);
            mqtt::serve(reader, writer, app, Shown::default()).await;
            return drop(place);
        }
    };
    // On its own: a connection of MQTT is far smaller than one of HTTP.
    Box::pin(http(stream, router, &app, place)).await;
}

async fn http<S>(stream: S, router: Router, app: &App, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(place.clone());
        let mut router = router.clone();
        async move {
            let response: Result<_, Infallible> = router.call(request).await;
            response
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(app.limits.header_read_timeout_ms))
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = app.life.ended() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        // A client's affair: it went away, or spoke no HTTP.
        tracing::debug!(%error, "a connection ended in disorder");
    }
}
