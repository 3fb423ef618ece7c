//! The accept loop: bounded connections, bounded waits, and an end that finishes what was begun.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service as _;

use crate::limits::HEADER_BYTES_MAX;
use crate::routes::App;

/// A pause after an accept that failed, usually for want of file descriptors: trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The place that a connection takes of [`CONNECTIONS_MAX`](crate::limits::CONNECTIONS_MAX). It travels in the request's
/// extensions so that a WebSocket keeps it after the upgrade.
#[derive(Clone, Debug)]
pub struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Accepts connections until the server ends.
pub async fn accept(listener: TcpListener, router: Router, app: Arc<App>) {
    let places = Arc::new(Semaphore::new(app.limits.connections_max.min(Semaphore::MAX_PERMITS)));
    loop {
        let accepted = async {
            // The semaphore is never closed; if it were, there would be nothing left to accept for.
            let permit = Arc::clone(&places).acquire_owned().await.ok()?;
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
                };
                app.life
                    .tasks
                    .spawn(connection(stream, router.clone(), Arc::clone(&app), place));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, app: Arc<App>, place: Place) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
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
