//! The in-process transport.
#![allow(clippy::unwrap_used)]

use tombolo_core::wire::graphql::Request;
use tombolo_transport::loopback::{self, Call};
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

#[tokio::test]
async fn a_script_plays_the_server() {
    let (transport, mut script) = loopback::scripted();
    let server = async {
        let Some(Call::Open(opening)) = script.next().await else {
            panic!()
        };
        opening.refuse(CloseReason::Refused { status: 503 });
        let Some(Call::Open(opening)) = script.next().await else {
            panic!()
        };
        let mut session = opening.accept().unwrap();
        assert_eq!(session.from_replica.recv().await, Some(ask(1, "a")));
        assert!(session.send(Incoming::Complete { id: OperationId(1) }).await);
    };
    let client = async {
        let refused = transport.open(&Credential::None).await.err();
        assert_eq!(refused, Some(CloseReason::Refused { status: 503 }));
        let mut link = transport.open(&Credential::None).await.unwrap();
        link.send(ask(1, "a")).unwrap();
        assert_eq!(link.receive().await, Incoming::Complete { id: OperationId(1) });
        let cut = link.receive().await;
        assert!(
            matches!(cut, Incoming::Closed(CloseReason::Unreachable { .. })),
            "{cut:?}"
        );
        assert_eq!(link.receive().await, cut);
    };
    tokio::join!(server, client);
}
