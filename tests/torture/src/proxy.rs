//! The network between the phones and the server: a TCP proxy whose every connection suffers what the seed says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::chance;

/// Bytes carried at once: smaller than a catch-up page, so that a cut may fall into one.
const CHUNK: usize = 16 << 10;

/// What a connection suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing.
    None,
    /// Refused: closed as soon as it is there.
    Refused,
    /// Cut both ways after a while.
    Cut,
    /// What the phone sends is cut after some bytes, in the midst of a frame.
    TruncatedUp,
    /// What the server sends is cut after some bytes, in the midst of a frame.
    TruncatedDown,
    /// Every piece is held up.
    Delayed,
    /// Half open: accepted, and then nothing is read and nothing is said.
    Silent,
    /// Half open: carried for some bytes, then nothing is read any more.
    Stalled,
    /// Half open: requests arrive, answers do not come back.
    Deaf,
}

impl Fault {
    /// All of them, each with its weight.
    pub const WEIGHTS: [(Self, u32); 9] = [
        (Self::None, 30),
        (Self::Refused, 5),
        (Self::Cut, 12),
        (Self::TruncatedUp, 12),
        (Self::TruncatedDown, 12),
        (Self::Delayed, 10),
        (Self::Silent, 5),
        (Self::Stalled, 7),
        (Self::Deaf, 7),
    ];

    fn draw(rng: &mut fastrand::Rng) -> Self {
        let mut left = rng.u32(0..Self::WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (fault, weight) in Self::WEIGHTS {
            if left < weight {
                return fault;
            }
            left -= weight;
        }
        Self::None
    }

    /// In the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "left alone",
            Self::Refused => "refused",
            Self::Cut => "cut",
            Self::TruncatedUp => "truncated, phone to server",
            Self::TruncatedDown => "truncated, server to phone",
            Self::Delayed => "delayed",
            Self::Silent => "half open, silent",
            Self::Stalled => "half open, stopped reading",
            Self::Deaf => "half open, answers lost",
        }
    }
}

/// The proxy; ends with its runtime.
#[derive(Clone, Debug)]
pub struct Proxy {
    address: SocketAddr,
    calm: Arc<watch::Sender<bool>>,
    counts: Arc<Mutex<BTreeMap<Fault, u64>>>,
}

impl Proxy {
    /// A proxy before the server at `target`, which need not run yet.
    ///
    /// # Errors
    /// The socket's.
    pub async fn start(target: SocketAddr, seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self {
            address: listener.local_addr()?,
            calm: Arc::new(watch::Sender::new(false)),
            counts: Arc::default(),
        };
        let own = proxy.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((phone, _)) = listener.accept().await else {
                    return;
                };
                let rng = chance(seed, "connection", number);
                tokio::spawn(own.clone().connection(phone, target, rng));
            }
        });
        Ok(proxy)
    }

    /// The GraphQL URL through it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    /// From now on connections are left alone; those that suffer are ended.
    pub fn calm(&self) {
        self.calm.send_replace(true);
    }

    /// How many connections suffered what, so far that they noticed.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Fault, u64> {
        self.counts.lock().unwrap().clone()
    }

    fn note(&self, fault: Fault) {
        *self.counts.lock().unwrap().entry(fault).or_default() += 1;
    }

    async fn connection(self, phone: TcpStream, target: SocketAddr, mut rng: fastrand::Rng) {
        let mut calm = self.calm.subscribe();
        let fault = if *calm.borrow() {
            Fault::None
        } else {
            Fault::draw(&mut rng)
        };
        let suffer = async {
            // A phone must not be held up for longer than it lives, or nothing would ever be done.
            let hold = Duration::from_millis(rng.u64(100..1_200));
            match fault {
                Fault::Refused => return self.note(fault),
                Fault::Silent => {
                    self.note(fault);
                    return tokio::time::sleep(hold).await;
                }
                Fault::None
                | Fault::Cut
                | Fault::TruncatedUp
                | Fault::TruncatedDown
                | Fault::Delayed
                | Fault::Stalled
                | Fault::Deaf => {}
            }
            // The server may just be dead.
            let Ok(server) = TcpStream::connect(target).await else {
                return;
            };
            if phone.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
                return;
            }
            self.carry(phone, server, fault, hold, rng).await;
        };
        if fault == Fault::None {
            return suffer.await;
        }
        tokio::select! {
            () = suffer => {}
            _ = calm.wait_for(|calm| *calm) => {}
        }
    }

    async fn carry(&self, phone: TcpStream, server: TcpStream, fault: Fault, hold: Duration, mut rng: fastrand::Rng) {
        let (from_phone, to_phone) = phone.into_split();
        let (from_server, to_server) = server.into_split();
        // The handshake and `connection_init` take some 600 bytes; a mutation as many again.
        let bytes = rng.usize(100..12_000);
        let endless = Pump {
            bytes: usize::MAX,
            then: Then::End,
            delay_ms: 0,
        };
        let limited = |then| Pump { bytes, then, ..endless };
        let (up, down) = match fault {
            Fault::None | Fault::Cut | Fault::Refused | Fault::Silent => (endless, endless),
            Fault::TruncatedUp => (limited(Then::End), endless),
            Fault::TruncatedDown => (endless, limited(Then::End)),
            Fault::Delayed => {
                let slow = Pump {
                    delay_ms: rng.u64(5..120),
                    ..endless
                };
                (slow, slow)
            }
            Fault::Stalled => (limited(Then::Stall), limited(Then::Stall)),
            Fault::Deaf => (endless, limited(Then::Swallow)),
        };
        let reached = |how: Reached| match (fault, how) {
            (_, Reached::Gone) => {}
            (fault, Reached::Limit) => self.note(fault),
        };
        let cut = async {
            match fault {
                Fault::Cut => {
                    // Most connections do not live as long as what is held.
                    tokio::time::sleep(hold / 4).await;
                    self.note(fault);
                }
                _ => std::future::pending().await,
            }
        };
        if matches!(fault, Fault::None | Fault::Delayed) {
            self.note(fault);
        }
        // What stalls or swallows says so when it begins, and is then held.
        let held = Held {
            hold,
            note: || self.note(fault),
        };
        tokio::select! {
            how = pump(from_phone, to_server, up, &held) => reached(how),
            how = pump(from_server, to_phone, down, &held) => reached(how),
            () = cut => {}
        }
    }
}

/// How one direction is carried.
#[derive(Clone, Copy)]
struct Pump {
    /// So many bytes pass.
    bytes: usize,
    /// And then.
    then: Then,
    delay_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The connection ends.
    End,
    /// Nothing is read any more.
    Stall,
    /// All is read and dropped.
    Swallow,
}

/// Why a direction ended.
enum Reached {
    /// A side went away.
    Gone,
    /// The bytes are used up.
    Limit,
}

struct Held<F> {
    hold: Duration,
    note: F,
}

async fn pump<F: Fn()>(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, pump: Pump, held: &Held<F>) -> Reached {
    let mut buffer = vec![0; CHUNK];
    let mut left = pump.bytes;
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return Reached::Gone;
        };
        if pump.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(pump.delay_ms)).await;
        }
        let pass = count.min(left);
        if to.write_all(&buffer[..pass]).await.is_err() {
            return Reached::Gone;
        }
        left -= pass;
        if pass == count {
            continue;
        }
        match pump.then {
            Then::End => return Reached::Limit,
            Then::Stall => {
                (held.note)();
                tokio::time::sleep(held.hold).await;
                return Reached::Gone;
            }
            Then::Swallow => {
                (held.note)();
                let swallow = async { while let Ok(1..) = from.read(&mut buffer).await {} };
                // Either way there is no answer.
                let _ended = tokio::time::timeout(held.hold, swallow).await;
                return Reached::Gone;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_drawn_about_as_often_as_it_weighs() {
        let mut counts: BTreeMap<Fault, u32> = BTreeMap::new();
        for number in 0..10_000 {
            *counts
                .entry(Fault::draw(&mut chance(1, "connection", number)))
                .or_default() += 1;
        }
        for (fault, weight) in Fault::WEIGHTS {
            let drawn = counts[&fault];
            assert!((weight * 80..weight * 120).contains(&drawn), "{fault:?}: {drawn}");
        }
    }

    #[tokio::test]
    async fn what_is_left_alone_arrives_whole() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = echo.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = echo.accept().await.unwrap();
                let mut bytes = vec![0; 5];
                socket.read_exact(&mut bytes).await.unwrap();
                socket.write_all(&bytes).await.unwrap();
            }
        });
        let proxy = Proxy::start(target, 1).await.unwrap();
        proxy.calm();
        let mut socket = TcpStream::connect(proxy.address).await.unwrap();
        socket.write_all(b"hello").await.unwrap();
        let mut bytes = vec![0; 5];
        socket.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"hello");
        assert_eq!(proxy.counts(), BTreeMap::from([(Fault::None, 1)]));
    }
}
