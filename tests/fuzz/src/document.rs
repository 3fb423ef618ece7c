//! A GraphQL document.

use tombolo_core::wire::graphql::Request;

use crate::{replica, server, text};

/// Has server and replica carry it out.
pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let request = Request {
        query: text.to_owned(),
        ..Request::default()
    };
    server::with(|server| server.ask(&request));
    replica::with(|tx| replica::answer(tx, text).expect("a replica can carry out what it planned"));
}
