//! The in-process transport.
#![allow(clippy::unwrap_used)]

use tombolo_core::wire::graphql::Request;
use tombolo_transport::loopback;
use tombolo_transport::{CloseReason, Credential, Incoming, OperationId, Outgoing, Transport};

fn ask(id: u64, query: &str) -> Outgoing {
    Outgoing::Start {
        id: OperationId(id),
        request: Request {
            query: query.into(),
            ..Request::default()
        },
    }
}

#[tokio::test]
async fn a_handler_answers_each_operation() {
    let transport = loopback::serve(|credential, request| {
        assert_eq!(credential, &Credential::None);
        if request.query == "out" {
            return Err(CloseReason::Unauthorized { code: 401 });
        }
        Ok(loopback::one(request.query.into_bytes()))
    });
    let mut link = transport.open(&Credential::None).await.unwrap();
    link.send(ask(1, "a")).unwrap();
    link.send(ask(2, "b")).unwrap();
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(link.receive().await);
    }
    for (id, payload) in [(1, b"a"), (2, b"b")] {
        let id = OperationId(id);
        assert!(heard.contains(&Incoming::Next {
            id,
            payload: payload.to_vec()
        }));
        assert!(heard.contains(&Incoming::Complete { id }));
    }
    link.send(ask(3, "out")).unwrap();
    assert_eq!(
        link.receive().await,
        Incoming::Closed(CloseReason::Unauthorized { code: 401 })
    );
}
