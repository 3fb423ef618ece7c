//! Starting and ending.

use std::collections::BTreeSet;

use tokio::net::TcpListener;
use tombolo_server::config::{Config, Database, SchemaSource};
use tombolo_server::{Ended, Server, StartError};

use crate::harness::{Heard, KEY, SCHEMA, Socket, create, patiently, start, titles};

fn on_disk(dir: &tempfile::TempDir) -> Config {
    Config {
        database: Database::File(dir.path().join("t.sqlite")),
        ..Config::in_memory(SCHEMA, KEY)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_answers_every_mutation_that_was_accepted_and_no_other_takes_effect() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(on_disk(&dir)).await.unwrap();
    let mut socket = Socket::open(server.addr).await;
    for i in 0..500 {
        socket.subscribe(&i.to_string(), &create(&i.to_string())).await;
    }
    // The first answer proves that the server is in the midst of it.
    socket.frame().await;
    let ending = tokio::spawn(server.shutdown());
    let mut answered = BTreeSet::new();
    let code = loop {
        match socket.hear().await {
            Heard::Frame(frame) if frame["type"] == "complete" => {
                answered.insert(frame["id"].as_str().unwrap().parse::<u32>().unwrap());
            }
            Heard::Frame(_) => {}
            Heard::Closed(code) => break code,
        }
    };
    assert_eq!(code, 1012);
    drop(socket);
    assert_eq!(patiently(ending).await.unwrap(), Ended::InOrder);

    let again = Server::start(on_disk(&dir)).await.unwrap();
    let kept: BTreeSet<u32> = titles(again.addr).await.iter().map(|t| t.parse().unwrap()).collect();
    assert_eq!(kept, answered);
    assert_eq!(again.shutdown().await, Ended::InOrder);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_subscriptions_or_idle_connections() {
    let server = start().await;
    let mut socket = Socket::open(server.addr).await;
    socket.subscribe("1", "subscription { onCreateTodo { id } }").await;
    let idle = tokio::net::TcpStream::connect(server.addr).await.unwrap();
    let addr = server.addr;
    let ending = tokio::spawn(server.shutdown());
    assert_eq!(socket.hear().await, Heard::Closed(1012));
    drop(socket);
    assert_eq!(patiently(ending).await.unwrap(), Ended::InOrder);
    drop(idle);
    assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "it still listens");
}

#[tokio::test]
async fn readiness_waits_for_what_comes_before() {
    let server = Server::start_with(Config::in_memory(SCHEMA, KEY), async |api| {
        assert!(api.can_write().await.is_ok());
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(server.shutdown().await, Ended::InOrder);
    let refused = Server::start_with(Config::in_memory(SCHEMA, KEY), async |_| {
        Err(StartError::Data("x".into()))
    })
    .await;
    assert!(matches!(refused, Err(StartError::Data(_))));
}

#[tokio::test]
async fn a_port_in_use_is_said_with_the_mend() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let config = Config {
        listen: listen.clone(),
        ..Config::in_memory(SCHEMA, KEY)
    };
    let error = Server::start(config).await.unwrap_err();
    assert!(matches!(&error, StartError::InUse(at) if *at == listen), "{error}");
    assert!(error.to_string().contains("port 0"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_started_on_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let base = || Config::in_memory(SCHEMA, KEY);
    let no_database = dir.path().join("missing").join("t.sqlite");
    let garbage = dir.path().join("garbage.sqlite");
    std::fs::write(&garbage, "this is no database, however long one looks at it".repeat(50)).unwrap();
    let table = [
        (
            "an address",
            Config {
                listen: "nowhere".into(),
                ..base()
            },
            "cannot listen on nowhere",
        ),
        (
            "a schema file",
            Config {
                schema: SchemaSource::File("/nowhere/s.graphql".into()),
                ..base()
            },
            "/nowhere/s.graphql",
        ),
        (
            "a schema",
            Config {
                schema: SchemaSource::Text {
                    name: "s.graphql".into(),
                    text: "type A @model { b: Nope }".into(),
                },
                ..base()
            },
            "s.graphql:1:",
        ),
        (
            "a folder",
            Config {
                database: Database::File(no_database),
                ..base()
            },
            "missing",
        ),
        (
            "a file",
            Config {
                database: Database::File(garbage),
                ..base()
            },
            "garbage.sqlite",
        ),
    ];
    for (name, config, expected) in table {
        let error = Server::start(config).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[tokio::test]
async fn two_servers_on_one_database_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(on_disk(&dir)).await.unwrap();
    let error = Server::start(on_disk(&dir)).await.unwrap_err();
    assert!(matches!(error, StartError::Database { .. }), "{error}");
    assert_eq!(first.shutdown().await, Ended::InOrder);
    // Closed for good: the next one may have it.
    let next = Server::start(on_disk(&dir)).await.unwrap();
    assert_eq!(titles(next.addr).await, Vec::<String>::new());
    assert_eq!(next.shutdown().await, Ended::InOrder);
}
