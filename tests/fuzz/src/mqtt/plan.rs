//! What the clients of one run do.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tombolo_server::routes::App;

use super::client::Client;
use super::{CALLERS, GONE_MAX};

/// Most steps of one plan.
const STEPS: usize = 64;

/// Connections at once.
const CLIENTS: usize = 3;

/// Ids of clients: two connections of one device, another device, none, and none that can be.
const CLIENT_IDS: [&str; 6] = ["phone", "phone:pub", "tablet", "", "a/b", "\u{1F4F1}"];

/// Topics besides a device's own two.
const TOPICS: [&str; 6] = [
    "tombolo/tablet/request",
    "tombolo/+/response",
    "#",
    "$share/g/tombolo/phone/response",
    "",
    "x",
];

/// One run.
pub(super) struct Turn<'w> {
    pub(super) app: Arc<App>,
    pub(super) secret: &'w str,
    pub(super) number: u32,
}

/// A client with what the plan knows of it.
struct Guest {
    client: Client,
    /// Its place in [`CALLERS`].
    caller: usize,
    version: u8,
    device: String,
    piece: usize,
    /// Done to the next packet: a byte changed, or the end cut off.
    damage: Option<(usize, u8)>,
}

impl Turn<'_> {
    pub(super) async fn run(self, data: &[u8]) {
        let mut guests: Vec<Guest> = Vec::new();
        if data.first() == Some(&0x10) {
            let mut guest = Guest::new(&self.app);
            // The length of pieces comes from where a capture has nothing of interest.
            let piece = match data.last() {
                Some(last @ 0..16) => usize::from(*last) + 1,
                _ => data.len(),
            };
            guest.client.send(data, piece).await;
            // It takes what comes, and says so.
            for _ in 0..STEPS {
                let Some(id) = guest.client.unacknowledged() else { break };
                let [high, low] = id.to_be_bytes();
                guest.client.send(&[0x40, 2, high, low], 4).await;
            }
            guests.push(guest);
        } else {
            let mut bytes = Bytes(data);
            for _ in 0..STEPS {
                let Some(step) = bytes.next() else { break };
                let place = usize::from(step >> 4) % CLIENTS;
                while guests.len() <= place {
                    guests.push(Guest::new(&self.app));
                }
                if guests[place].client.is_over() {
                    let over = std::mem::replace(&mut guests[place], Guest::new(&self.app));
                    self.check(&over);
                }
                guests[place].step(step & 0xf, &mut bytes, &self).await;
                for guest in &mut guests {
                    guest.client.listen().await;
                }
            }
        }
        for guest in &mut guests {
            guest.client.go().await;
        }
        tokio::time::sleep(GONE_MAX).await;
        for guest in &guests {
            assert!(guest.client.is_over(), "a connection whose other side is gone goes on");
            self.check(guest);
        }
    }

    fn check(&self, guest: &Guest) {
        guest.client.check();
        let contains = |bytes: &[u8], what: &str| bytes.windows(what.len()).any(|part| part == what.as_bytes());
        let (_, key_of_other) = CALLERS[1 - guest.caller];
        let other = self.mark(1 - guest.caller);
        let may_hear = contains(&guest.client.sent, &other) || contains(&guest.client.sent, key_of_other);
        for payload in guest.client.payloads() {
            assert!(!contains(payload, self.secret), "a record of somebody else's");
            assert!(may_hear || !contains(payload, &other), "what another caller has asked");
        }
    }

    /// A word in all that a caller asks in this run, and that nobody can guess.
    fn mark(&self, caller: usize) -> String {
        let number = u64::from(self.number) * 2 + caller as u64;
        format!("m{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23))
    }
}

impl Guest {
    fn new(app: &Arc<App>) -> Self {
        Self {
            client: Client::new(app),
            caller: 0,
            version: 4,
            device: "phone".to_owned(),
            piece: usize::MAX,
            damage: None,
        }
    }

    async fn step(&mut self, step: u8, bytes: &mut Bytes<'_>, turn: &Turn<'_>) {
        match step {
            0 | 1 => self.connect(bytes).await,
            2 => {
                let (id, what) = (bytes.byte(), bytes.byte());
                let mut body = vec![0, id];
                self.property_length(&mut body);
                for n in 0..=what >> 6 {
                    text(
                        &mut body,
                        &self.topic(if n == 0 { what & 7 } else { bytes.byte() }, "response"),
                    );
                    body.push((what >> 3) & 3);
                }
                self.packet(0x82, body).await;
            }
            3 => {
                let (id, what) = (bytes.byte(), bytes.byte());
                let mut body = vec![0, id];
                self.property_length(&mut body);
                text(&mut body, &self.topic(what, "response"));
                self.packet(0xa2, body).await;
            }
            4..=7 => self.publish(step, bytes, turn).await,
            8 => {
                // What came is acknowledged: all of it, one, or something else.
                let how = bytes.byte();
                let most = if how & 1 == 0 { 32 } else { 1 };
                for _ in 0..most {
                    let Some(id) = self.client.unacknowledged() else { break };
                    let [high, low] = id.to_be_bytes();
                    self.packet(0x40, vec![high, low]).await;
                }
                if how & 6 == 6 {
                    self.packet(0x40, vec![0, how >> 3]).await;
                }
            }
            9 => self.packet(0xc0, Vec::new()).await,
            10 => match bytes.byte() {
                0 => self.packet(0xe0, Vec::new()).await,
                1 => self.client.go().await,
                2 => self.client.stalled = true,
                3 => self.client.stalled = false,
                n => self.client.wait(Duration::from_millis(1 << (n % 16))).await,
            },
            11 => self.damage = Some((usize::from(bytes.byte()), bytes.byte())),
            12 => self.piece = usize::from(bytes.byte()) + 1,
            13 => {
                // A fresh credential.
                let what = bytes.byte();
                let (name, value) = self.credential(what);
                let mut properties = Vec::new();
                properties.push(0x15);
                text(&mut properties, &name);
                properties.push(0x16);
                text(&mut properties, &value);
                let mut body = vec![0x19];
                number(&mut body, properties.len());
                body.extend(properties);
                self.packet(0xf0, body).await;
            }
            14 => {
                let first = bytes.byte();
                let body = bytes.some().to_vec();
                self.packet(first, body).await;
            }
            _ => {
                let raw = bytes.some().to_vec();
                self.client.send(&raw, self.piece).await;
            }
        }
    }

    async fn connect(&mut self, bytes: &mut Bytes<'_>) {
        let (how, what) = (bytes.byte(), bytes.byte());
        self.version = [4, 5, 3, 5][usize::from(how & 3)];
        self.caller = usize::from(how >> 2 & 1);
        let id = CLIENT_IDS[usize::from(what & 7) % CLIENT_IDS.len()];
        self.device = id.split(':').next().unwrap_or_default().to_owned();
        let mut body = Vec::new();
        text(&mut body, if self.version == 3 { "MQIsdp" } else { "MQTT" });
        body.push(self.version);
        // Clean session, a will, user name and password.
        let will = how & 0x18 == 0x18;
        let enhanced = self.version == 5 && how & 0x60 == 0x60;
        body.push(0xc2 * u8::from(!enhanced) | 0x06 * u8::from(will) | 2);
        body.extend([0, what >> 3]);
        let (name, value) = self.credential(if how & 0x80 == 0 { 0 } else { what });
        if self.version == 5 {
            let mut properties = Vec::new();
            if enhanced {
                properties.push(0x15);
                text(&mut properties, &name);
                properties.push(0x16);
                text(&mut properties, &value);
            }
            let more = bytes.byte();
            for (bit, property) in [(1, 0x21), (2, 0x22), (4, 0x27), (8, 0x11)] {
                if more & bit != 0 {
                    properties.push(property);
                    let wide = [0x27, 0x11].contains(&property);
                    properties.extend([0, 0].iter().take(if wide { 2 } else { 0 }));
                    properties.extend([if wide { bytes.byte() } else { 0 }, more >> 4]);
                }
            }
            number(&mut body, properties.len());
            body.extend(properties);
        }
        text(&mut body, id);
        if will {
            self.property_length(&mut body);
            text(&mut body, "x");
            text(&mut body, "y");
        }
        if !enhanced {
            text(&mut body, &name);
            text(&mut body, &value);
        }
        self.packet(0x10, body).await;
    }

    async fn publish(&mut self, step: u8, bytes: &mut Bytes<'_>, turn: &Turn<'_>) {
        let (what, id) = (bytes.byte(), bytes.byte());
        // Mostly with QoS 1 to its own topic.
        let flags = match step {
            4..=6 => 2 * (step & 1) + 2 * u8::from(step == 4),
            _ => bytes.byte() & 0xf,
        };
        let topic = match step {
            4..=6 => self.topic(0, "request"),
            _ => self.topic(bytes.byte(), "request"),
        };
        let mut body = Vec::new();
        text(&mut body, &topic);
        if flags & 6 != 0 {
            body.extend([0, id]);
        }
        if self.version == 5 {
            match what & 0xc0 {
                0xc0 => {
                    let mut properties = vec![0x08];
                    text(&mut properties, &self.topic(id & 7, "response"));
                    number(&mut body, properties.len());
                    body.extend(properties);
                }
                0x80 => {
                    let properties = bytes.some().to_vec();
                    number(&mut body, properties.len());
                    body.extend(properties);
                }
                _ => body.push(0),
            }
        }
        body.extend(self.request(what & 0x1f, id, bytes, turn));
        self.packet(0x30 | flags, body).await;
    }

    /// A frame of `graphql-transport-ws`.
    fn request(&self, what: u8, id: u8, bytes: &mut Bytes<'_>, turn: &Turn<'_>) -> Vec<u8> {
        let mark = turn.mark(self.caller);
        let id = format!("{mark}-{}", id % 8);
        let query = match what {
            0 | 1 => "subscription { onCreateTodo { id title note } }".to_owned(),
            2 => "subscription { onCreateOwn { id secret } }".to_owned(),
            3 => "subscription { onUpdateTally { id hits marks } }".to_owned(),
            4..=7 => r#"mutation { createTodo(input: { title: "by MQTT" }) { id title } }"#.to_owned(),
            8 => "mutation { updateTally(input: { id: \"y\", _operations: { hits: { add: 1 } } }) { id hits } }"
                .to_owned(),
            9 | 10 => "{ listTodos(limit: 50) { items { id title list } } }".to_owned(),
            11 => "{ listOwns { items { id secret } } getOwn(id: \"own\") { secret } }".to_owned(),
            12 => "{ todosByList(list: \"l\") { items { id lines { items { text } } } } }".to_owned(),
            13 => "{ __schema { types { name fields { name } } } }".to_owned(),
            14 | 15 => return json!({ "id": id, "type": "complete" }).to_string().into_bytes(),
            16 => {
                // With an envelope: sent again it takes effect once.
                let number = u64::from(bytes.byte());
                let payload = json!({
                    "query": "mutation { createLine(input: { order: \"q\", number: 1 }) { number } }",
                    "extensions": { "tombolo": {
                        "replica": format!("7b0b8b53-8d3e-4d0c-9a55-{:012}", turn.number),
                        "number": number, "seen": [], "settledThrough": 0,
                    } },
                });
                return json!({ "id": id, "type": "subscribe", "payload": payload })
                    .to_string()
                    .into_bytes();
            }
            17 => "subscription { tomboloChanges(model: \"Todo\") { model cursor upToDate reset fields rows left } }"
                .to_owned(),
            18 => String::from_utf8_lossy(bytes.some()).into_owned(),
            _ => return bytes.some().to_vec(),
        };
        json!({ "id": id, "type": "subscribe", "payload": { "query": query } })
            .to_string()
            .into_bytes()
    }

    /// The device's own topic, or another.
    fn topic(&self, which: u8, own: &str) -> String {
        match usize::from(which & 0xf).checked_sub(3) {
            Some(other) => TOPICS[other % TOPICS.len()].to_owned(),
            None => format!("tombolo/{}/{own}", self.device),
        }
    }

    fn credential(&self, which: u8) -> (String, String) {
        let (_, key) = CALLERS[self.caller];
        match which & 7 {
            5 => ("authorization".to_owned(), "none".to_owned()),
            6 => ("x-api-key".to_owned(), "wrong".to_owned()),
            7 => ("user".to_owned(), key.to_owned()),
            4 => ("x-api-key".to_owned(), CALLERS[1 - self.caller].1.to_owned()),
            _ => ("x-api-key".to_owned(), key.to_owned()),
        }
    }

    /// No properties, in a version that has such.
    fn property_length(&self, body: &mut Vec<u8>) {
        if self.version == 5 {
            body.push(0);
        }
    }

    async fn packet(&mut self, first: u8, body: Vec<u8>) {
        let mut packet = vec![first];
        number(&mut packet, body.len());
        packet.extend(body);
        match self.damage.take() {
            Some((place, 0)) => packet.truncate(packet.len() - place % packet.len()),
            Some((place, change)) => {
                let place = place % packet.len();
                packet[place] ^= change;
            }
            None => {}
        }
        self.client.send(&packet, self.piece).await;
    }
}

fn text(into: &mut Vec<u8>, text: &str) {
    into.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    into.extend_from_slice(text.as_bytes());
}

fn number(into: &mut Vec<u8>, mut left: usize) {
    loop {
        let digit = (left % 128) as u8;
        left /= 128;
        into.push(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            return;
        }
    }
}

/// The bytes of a plan, read from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or_default()
    }

    /// As many as the next byte says, or all that there are.
    fn some(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte());
        let (some, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        some
    }
}
