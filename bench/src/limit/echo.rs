//! The floor of a change's way from one device to another: the same bytes over the same kind of WebSocket through a
//! relay, and the three commits that the promises demand (the writer's intent, the server's row, the reader's row).

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use rusqlite::Connection;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_async, connect_async};

use super::tables::{Synchronous, open_write, remove};
use crate::error::{During as _, Error, failed};

/// How the three commits are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commits {
    /// The writer's.
    pub(crate) writer: Synchronous,
    /// The server's.
    pub(crate) server: Synchronous,
    /// The reader's.
    pub(crate) reader: Synchronous,
}

/// Sends `mutation` from a writer to a relay and `change` from there to a reader, `count` times, one after the other, and
/// tells how long each took from the writer's first step to the end of the reader's commit.
pub(crate) async fn round(
    directory: &Path,
    mutation: &str,
    change: &str,
    count: usize,
    commits: Commits,
) -> Result<Vec<Duration>, Error> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .during(|| "cannot listen".to_owned())?;
    let address = listener.local_addr().during(|| "cannot listen".to_owned())?;
    let kept = Kept::open(&directory.join("echo-server.sqlite"), commits.server)?;
    let relaying = tokio::spawn(relay(listener, kept, change.to_owned()));

    let mut writer = connect(&format!("ws://{address}/")).await?;
    let mut reader = connect(&format!("ws://{address}/")).await?;
    let mut writer_kept = Kept::open(&directory.join("echo-writer.sqlite"), commits.writer)?;
    let mut reader_kept = Kept::open(&directory.join("echo-reader.sqlite"), commits.reader)?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        writer_kept.commit(mutation)?;
        writer.send(Message::text(mutation)).await?;
        let arrived = reader.next().await.ok_or_else(|| failed("the relay has closed"))??;
        reader_kept.commit(arrived.to_text()?)?;
        times.push(start.elapsed());
    }
    relaying.abort();
    Ok(times)
}

async fn relay(listener: TcpListener, mut kept: Kept, change: String) -> Result<(), Error> {
    let mut from = accept(&listener).await?;
    let mut to = accept(&listener).await?;
    while let Some(message) = from.next().await {
        kept.commit(message?.to_text()?)?;
        to.send(Message::text(change.as_str())).await?;
    }
    Ok(())
}

async fn accept(listener: &TcpListener) -> Result<WebSocketStream<TcpStream>, Error> {
    let (socket, _) = listener.accept().await.during(|| "cannot accept".to_owned())?;
    socket
        .set_nodelay(true)
        .during(|| "cannot set TCP_NODELAY".to_owned())?;
    Ok(accept_async(socket).await?)
}

async fn connect(url: &str) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, Error> {
    let (socket, _) = connect_async(url).await?;
    if let MaybeTlsStream::Plain(plain) = socket.get_ref() {
        plain.set_nodelay(true).during(|| "cannot set TCP_NODELAY".to_owned())?;
    }
    Ok(socket)
}

/// A database that takes what it is given, one durable row a commit.
struct Kept(Connection);

impl Kept {
    fn open(file: &Path, synchronous: Synchronous) -> Result<Self, Error> {
        remove(file)?;
        let connection = open_write(file, synchronous)?;
        connection.execute_batch("CREATE TABLE kept(number INTEGER PRIMARY KEY, what TEXT)")?;
        Ok(Self(connection))
    }

    fn commit(&mut self, what: &str) -> Result<(), Error> {
        self.0
            .prepare_cached("INSERT INTO kept(what) VALUES (?1)")?
            .execute([what])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_sent_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let commits = Commits {
            writer: Synchronous::Normal,
            server: Synchronous::Full,
            reader: Synchronous::Normal,
        };
        let times = round(folder.path(), "mutation", "change", 3, commits).await.unwrap();
        assert_eq!(times.len(), 3);
        assert_eq!(
            super::super::tables::count(&folder.path().join("echo-reader.sqlite"), "kept").unwrap(),
            3
        );
    }
}
