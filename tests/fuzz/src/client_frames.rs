//! Frames that a server reads from a client: one JSON document a line.

use tombolo_core::wire::ws::ClientFrame;

use crate::{server, text};

/// Most frames of one run.
const FRAMES: usize = 16;

/// Reads each line as the WebSocket session does and carries out what it asks.
pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    server::with(|server| {
        for line in text.lines().take(FRAMES) {
            // The session closes on a frame that it cannot read.
            let Ok(frame) = serde_json::from_str::<ClientFrame>(line) else {
                return;
            };
            match frame {
                ClientFrame::Subscribe { payload, .. } => {
                    server.ask(&payload);
                }
                ClientFrame::ConnectionInit { .. }
                | ClientFrame::Ping { .. }
                | ClientFrame::Pong { .. }
                | ClientFrame::Complete { .. } => {}
            }
        }
    });
}
