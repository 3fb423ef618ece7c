//! Clients of MQTT that cost next to nothing: a socket, a buffer, and packets made by hand. They say what W3 and W5 need and
//! understand no more than that.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::error::{During as _, Error, failed};

/// Bytes of a client's buffer while it is idle.
const BUFFER_BYTES: usize = 512;

/// Longest silence that a client asks for, in seconds: no run is that long.
const KEEP_ALIVE_S: u16 = 1_200;

/// Connections from one address of this machine: Linux gives out 28,000 ports.
const CONNECTIONS_PER_ADDRESS: usize = 20_000;

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;

/// One connection.
pub(super) struct Client {
    stream: TcpStream,
    /// What was read; the packet at its front is the last one that was looked at.
    buffer: Vec<u8>,
    /// Length of that packet.
    looked_at: usize,
    level: u8,
}

/// Who connects.
pub(super) struct Login<'a> {
    /// `127.0.0.1:PORT`.
    pub(super) address: &'a str,
    /// 4 is 3.1.1, 5 is 5.
    pub(super) level: u8,
    /// Of MQTT.
    pub(super) client_id: &'a str,
    /// For `x-api-key`.
    pub(super) api_key: Option<&'a str>,
    /// This is the so-many-th connection of its process.
    pub(super) number: usize,
}

impl Client {
    /// Connects and waits until it is welcome.
    pub(super) async fn connect(login: &Login<'_>) -> Result<Self, Error> {
        let during = || format!("cannot connect to {}", login.address);
        let address: SocketAddr = login
            .address
            .parse()
            .map_err(|_| failed(format!("{} is no address", login.address)))?;
        let socket = TcpSocket::new_v4().during(during)?;
        if let Some(further) = u8::try_from(login.number / CONNECTIONS_PER_ADDRESS)
            .ok()
            .filter(|f| *f > 0)
        {
            let source = Ipv4Addr::new(127, 0, 0, 1 + further);
            socket.bind((source, 0).into()).during(during)?;
        }
        let stream = socket.connect(address).await.during(during)?;
        stream.set_nodelay(true).during(during)?;
        let mut client = Self {
            stream,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            looked_at: 0,
            level: login.level,
        };
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        // A clean session; with a user name and a password.
        body.extend([login.level, if login.api_key.is_some() { 0xc2 } else { 2 }]);
        body.extend(KEEP_ALIVE_S.to_be_bytes());
        client.no_properties(&mut body);
        text(&mut body, login.client_id);
        if let Some(key) = login.api_key {
            text(&mut body, "x-api-key");
            text(&mut body, key);
        }
        client.send(0x10, &body).await?;
        let (first, body) = client.receive().await?;
        match client.buffer.get(body) {
            Some([_, 0, ..]) if first >> 4 == CONNACK => Ok(client),
            answer => Err(failed(format!("CONNECT was answered with {first:#x} {answer:?}"))),
        }
    }

    /// Subscribes, with packet id 1.
    pub(super) async fn subscribe(&mut self, filter: &str, qos: u8) -> Result<(), Error> {
        let mut body = vec![0, 1];
        self.no_properties(&mut body);
        text(&mut body, filter);
        body.push(qos);
        self.send(0x82, &body).await?;
        let (first, body) = self.receive().await?;
        match self.buffer.get(body) {
            Some([.., granted]) if first >> 4 == SUBACK && *granted == qos => Ok(()),
            answer => Err(failed(format!("SUBSCRIBE was answered with {first:#x} {answer:?}"))),
        }
    }

    /// Publishes; with QoS 1 under the packet id.
    pub(super) async fn publish(&mut self, topic: &str, qos: u8, id: u16, payload: &[u8]) -> Result<(), Error> {
        let mut body = Vec::with_capacity(payload.len() + topic.len() + 8);
        text(&mut body, topic);
        if qos > 0 {
            body.extend(id.to_be_bytes());
        }
        self.no_properties(&mut body);
        body.extend_from_slice(payload);
        self.send(0x30 | (qos << 1), &body).await
    }

    /// The same with QoS 1, and waits for the acknowledgement.
    pub(super) async fn publish_and_wait(&mut self, topic: &str, id: u16, payload: &[u8]) -> Result<(), Error> {
        self.publish(topic, 1, id, payload).await?;
        self.acknowledged().await
    }

    /// Waits for an acknowledgement.
    pub(super) async fn acknowledged(&mut self) -> Result<(), Error> {
        let (first, body) = self.receive().await?;
        match self.buffer.get(body) {
            // MQTT 5 leaves the code out if there is nothing to say.
            Some([_, _] | [_, _, 0, ..]) if first >> 4 == PUBACK => Ok(()),
            answer => Err(failed(format!("PUBLISH was answered with {first:#x} {answer:?}"))),
        }
    }

    /// The next message's payload, acknowledged if it wants to be.
    pub(super) async fn message(&mut self) -> Result<&[u8], Error> {
        let (first, body) = self.receive().await?;
        if first >> 4 != PUBLISH {
            return Err(failed(format!("a packet of type {} instead of a message", first >> 4)));
        }
        let strange = || failed("a message that is none");
        let packet = self.buffer.get(body.clone()).ok_or_else(strange)?;
        let mut at = match packet {
            [high, low, ..] => 2 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return Err(strange()),
        };
        if first & 6 != 0 {
            let Some([high, low]) = packet.get(at..at + 2) else {
                return Err(strange());
            };
            let acknowledgement = [0x40, 2, *high, *low];
            at += 2;
            self.stream
                .write_all(&acknowledgement)
                .await
                .during(|| "cannot acknowledge".to_owned())?;
        }
        if self.level == 5 {
            // Properties that are longer than this are in no message of these workloads.
            let length = self.buffer.get(body.start + at).copied().ok_or_else(strange)?;
            at += 1 + usize::from(length);
        }
        self.buffer.get(body.start + at..body.end).ok_or_else(strange)
    }

    /// Whether the other side has neither ended it nor said anything.
    pub(super) fn is_idle(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        self.buffer.len() == self.looked_at && read.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
    }

    fn no_properties(&self, body: &mut Vec<u8>) {
        if self.level == 5 {
            body.push(0);
        }
    }

    async fn send(&mut self, first: u8, body: &[u8]) -> Result<(), Error> {
        let mut packet = Vec::with_capacity(body.len() + 5);
        packet.push(first);
        let mut left = body.len();
        loop {
            let digit = (left % 128) as u8;
            left /= 128;
            packet.push(if left > 0 { digit | 0x80 } else { digit });
            if left == 0 {
                break;
            }
        }
        packet.extend_from_slice(body);
        self.stream
            .write_all(&packet)
            .await
            .during(|| "cannot write to the broker".to_owned())
    }

    /// The next packet's first byte, and where in the buffer its body is.
    async fn receive(&mut self) -> Result<(u8, Range<usize>), Error> {
        self.buffer.drain(..self.looked_at);
        self.looked_at = 0;
        loop {
            if let Some((first, body)) = frame(&self.buffer) {
                self.looked_at = body.end;
                return Ok((first, body));
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            if read.during(|| "cannot read from the broker".to_owned())? == 0 {
                return Err(failed("the broker has closed the connection"));
            }
        }
    }
}

/// The packet at the front, if it is all there.
fn frame(bytes: &[u8]) -> Option<(u8, Range<usize>)> {
    let (first, rest) = bytes.split_first()?;
    let mut length = 0;
    for (place, byte) in rest.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let start = place + 2;
            return (bytes.len() >= start + length).then_some((*first, start..start + length));
        }
    }
    None
}

fn text(into: &mut Vec<u8>, text: &str) {
    // Topics, ids and keys of these workloads are short.
    into.extend(u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
    into.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_whole_or_waited_for() {
        let mut packet = vec![0x30, 0x82, 0x01];
        packet.extend([7; 130]);
        for cut in 0..packet.len() {
            assert_eq!(frame(&packet[..cut]), None, "{cut}");
        }
        packet.push(0x30);
        assert_eq!(frame(&packet), Some((0x30, 3..133)));
        assert_eq!(frame(&[0xd0, 0]), Some((0xd0, 2..2)));
    }
}
