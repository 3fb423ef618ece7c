//! A network between a phone and its server that lets some things through and not others, and changes its mind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Carried.
    Open,
    /// Ended as soon as it is there.
    Shut,
    /// A proxy that knows no upgrade: this HTTP status for one, everything else is carried.
    NoUpgrade(u16),
    /// An upgrade is read and the connection then ended, everything else is carried.
    CutUpgrade,
    /// A socket is opened and its credential accepted; it is cut when the client then says something. Everything else is
    /// carried.
    CutFrames,
}

/// The gate; ends with its runtime.
#[derive(Debug)]
pub struct Gate {
    address: String,
    passage: watch::Sender<Passage>,
    connections: Arc<AtomicUsize>,
}

impl Gate {
    /// An open gate before the server at `target`.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Self {
            address: listener.local_addr().unwrap().to_string(),
            passage: watch::Sender::new(Passage::Open),
            connections: Arc::default(),
        };
        let (passage, connections, target) = (gate.passage.clone(), Arc::clone(&gate.connections), target.to_owned());
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let (target, mut changes) = (target.clone(), passage.subscribe());
                let now = *changes.borrow_and_update();
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(client, &target, now) => {}
                        // What it was is cut when it becomes another.
                        _ = changes.changed() => {}
                    }
                });
            }
        });
        gate
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The GraphQL URL through it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    /// From now on; every connection that there is is cut.
    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }

    /// How many connections have come.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn pass(mut client: TcpStream, target: &str, passage: Passage) {
    if passage == Passage::Shut {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    // A request's head comes in one piece from the clients of these tests.
    let mut head = vec![0; 16 << 10];
    let Ok(n @ 1..) = client.read(&mut head).await else {
        return;
    };
    let upgrades = String::from_utf8_lossy(&head[..n])
        .to_ascii_lowercase()
        .contains("upgrade: websocket");
    match passage {
        Passage::NoUpgrade(status) if upgrades => {
            let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            // The client may be gone.
            let _gone = client.write_all(answer.as_bytes()).await;
            return;
        }
        Passage::CutUpgrade if upgrades => return,
        Passage::Open | Passage::Shut | Passage::NoUpgrade(_) | Passage::CutUpgrade | Passage::CutFrames => {}
    }
    if server.write_all(&head[..n]).await.is_err() {
        return;
    }
    if upgrades && passage == Passage::CutFrames {
        // The answer to the upgrade, `connection_init`, `connection_ack`, and the first frame after them.
        for from_client in [false, true, false] {
            if !carry_one(&mut client, &mut server, from_client).await {
                return;
            }
        }
        let _said = client.read(&mut head).await;
        return;
    }
    let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

/// Carries what comes at once from the client (`true`) or the server.
async fn carry_one(client: &mut TcpStream, server: &mut TcpStream, from_client: bool) -> bool {
    let (from, to) = if from_client {
        (client, server)
    } else {
        (server, client)
    };
    let mut buffer = vec![0; 16 << 10];
    match from.read(&mut buffer).await {
        Ok(n @ 1..) => to.write_all(&buffer[..n]).await.is_ok(),
        _ => false,
    }
}
