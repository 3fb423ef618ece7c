//! The floor of moving bytes: the feed's own pages over loopback HTTP, gzip on the way, from a server that has them ready
//! to a client that throws them away.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::child::http_client;
use crate::error::{During as _, Error, expect_count, failed};

/// Longest head of a request that the floor's server reads.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Moves `pages` one after the other, each asked for when the one before has arrived, as a cursor demands.
pub(crate) async fn move_pages(pages: Arc<Vec<Vec<u8>>>) -> Result<Duration, Error> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .during(|| "cannot listen".to_owned())?;
    let address = listener.local_addr().during(|| "cannot listen".to_owned())?;
    let serving = tokio::spawn(serve(listener, Arc::clone(&pages)));
    let client = http_client()?;
    let start = Instant::now();
    let mut moved = 0;
    for place in 0..pages.len() {
        moved += client
            .get(format!("http://{address}/{place}"))
            .send()
            .await?
            .bytes()
            .await?
            .len();
    }
    let took = start.elapsed();
    serving.abort();
    expect_count("bytes moved", pages.iter().map(|p| p.len() as u64).sum(), moved as u64)?;
    Ok(took)
}

async fn serve(listener: TcpListener, pages: Arc<Vec<Vec<u8>>>) -> Result<(), Error> {
    loop {
        let (mut socket, _) = listener.accept().await.during(|| "cannot accept".to_owned())?;
        socket
            .set_nodelay(true)
            .during(|| "cannot set TCP_NODELAY".to_owned())?;
        while let Some(place) = read_request(&mut socket).await? {
            let page = pages.get(place).ok_or_else(|| failed("no such page"))?;
            let mut gzip = GzEncoder::new(Vec::with_capacity(page.len() / 4), Compression::default());
            gzip.write_all(page).during(|| "cannot compress".to_owned())?;
            let body = gzip.finish().during(|| "cannot compress".to_owned())?;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            socket
                .write_all(head.as_bytes())
                .await
                .during(|| "cannot write".to_owned())?;
            socket.write_all(&body).await.during(|| "cannot write".to_owned())?;
        }
    }
}

/// The page that a request asks for; `None` when the client has closed.
async fn read_request(socket: &mut TcpStream) -> Result<Option<usize>, Error> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || socket.read_buf(&mut head).await.during(|| "cannot read".to_owned())? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.strip_prefix("GET /").and_then(|rest| rest.split(' ').next());
    path.and_then(|p| p.parse().ok())
        .map(Some)
        .ok_or_else(|| failed("no request for a page"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_arrive_whole() {
        let pages = Arc::new(vec![b"abc".repeat(1000), b"x".to_vec(), Vec::new()]);
        assert!(move_pages(pages).await.unwrap() > Duration::ZERO);
    }
}
