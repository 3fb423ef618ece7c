//! A TCP proxy that holds up or cuts every connection at a chosen point and then lets nobody through: a network that
//! goes at the worst moment, the same one in each run.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where it cuts.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// When the client sends its n-th HTTP POST (from 1): neither that nor anything after it reaches the server. The
    /// connections stay open, so that the client has not noticed yet.
    AtPost(usize),
    /// When the server has sent so many bytes on all connections together; those that are over do not reach the client.
    AfterBytes(usize),
}

/// The proxy; ends with its runtime.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    cut: watch::Receiver<bool>,
}

impl Proxy {
    /// A proxy before the server at `target`.
    pub async fn start(target: &str, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = watch::Sender::new((0, 0));
        let (cut_sender, cut_receiver) = watch::channel(false);
        let target = target.to_owned();
        let ended = cut_receiver.clone();
        tokio::spawn(async move {
            loop {
                let mut ended = ended.clone();
                let (client, _) = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap(),
                    _ = ended.wait_for(|cut| *cut) => return,
                };
                let Ok(server) = TcpStream::connect(&target).await else {
                    continue;
                };
                let (state, sender) = (state.clone(), cut_sender.clone());
                tokio::spawn(async move {
                    let mut ended = sender.subscribe();
                    let cut_off = async {
                        drop(ended.wait_for(|cut| *cut).await);
                        if matches!(cut, Cut::AtPost(_)) {
                            std::future::pending().await
                        }
                    };
                    tokio::select! {
                        () = carry(client, server, cut, &state, &sender) => {}
                        () = cut_off => {}
                    }
                });
            }
        });
        Self {
            address,
            cut: cut_receiver,
        }
    }

    /// The GraphQL URL through it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    /// Waits until it has cut.
    pub async fn has_cut(&self) {
        // The sender lives as long as the proxy.
        let mut cut = self.cut.clone();
        let _ended = cut.wait_for(|cut| *cut).await;
    }
}

/// Carries bytes both ways until one side ends or the point of the cut is reached.
async fn carry(
    client: TcpStream,
    server: TcpStream,
    cut: Cut,
    state: &watch::Sender<(usize, usize)>,
    done: &watch::Sender<bool>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let Ok(n @ 1..) = from_client.read(&mut buffer).await else {
                return;
            };
            let posts = buffer[..n].windows(5).filter(|w| w == b"POST ").count();
            state.send_modify(|(seen, _)| *seen += posts);
            if matches!(cut, Cut::AtPost(at) if state.borrow().0 >= at) {
                done.send_replace(true);
                return std::future::pending().await;
            }
            if to_server.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let Ok(n @ 1..) = from_server.read(&mut buffer).await else {
                return;
            };
            let mut pass = n;
            if let Cut::AfterBytes(most) = cut {
                let before = state.borrow().1;
                pass = n.min(most.saturating_sub(before));
                state.send_modify(|(_, sent)| *sent += pass);
            }
            if to_client.write_all(&buffer[..pass]).await.is_err() {
                return;
            }
            if pass < n {
                done.send_replace(true);
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
