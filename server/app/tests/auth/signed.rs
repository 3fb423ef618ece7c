//! Signed requests: `aws-sigv4` signs, we check. Each part of what was signed, altered, must be refused.

use std::time::Duration;

use ring::hmac;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tombolo_core::access::{IamRole, Identity};
use tombolo_server::auth::sigv4::{IAM_USERS_MAX, IamUser, SIGNATURE_SKEW_MAX};
use tombolo_server::auth::{AuthConfig, Gate, Keys, Refusal, Shown, Target};

use crate::signer::{Arrived, ID, SECRET, Sent, user};
use crate::tokens::now;

fn gate_for(region: Option<&str>) -> Gate {
    let config = AuthConfig {
        iam: vec![
            IamUser::new(
                "other",
                "AKIAOTHER",
                "another secret, as long as that one",
                IamRole::Admin,
                ["*"],
            ),
            user(),
        ],
        iam_region: region.map(str::to_owned),
        ..AuthConfig::default()
    };
    Gate::open(Keys::default(), &config).unwrap()
}

#[tokio::test]
async fn what_the_library_signs_is_let_in() {
    let at = |url: &str| Sent {
        url: url.to_owned(),
        ..Sent::default()
    };
    let with = |name: &str, value: &str| {
        let mut sent = Sent::default();
        sent.headers.push((name.to_owned(), value.to_owned()));
        sent
    };
    let rows = [
        ("as JavaScript sends it", Sent::default()),
        (
            "session credentials",
            Sent {
                session: Some("FwoGZXIvYXdzEBYaD+x/y="),
                ..Sent::default()
            },
        ),
        (
            "another region",
            Sent {
                region: "local",
                ..Sent::default()
            },
        ),
        (
            "the service of endpoints of one's own",
            Sent {
                service: "execute-api",
                ..Sent::default()
            },
        ),
        (
            "no body",
            Sent {
                body: String::new(),
                ..Sent::default()
            },
        ),
        (
            "a body beyond ASCII",
            Sent {
                body: "{\"query\":\"äöü 🏝\"}".to_owned(),
                ..Sent::default()
            },
        ),
        (
            "GET with a query",
            Sent {
                method: "GET",
                ..at("http://h:1/graphql?query=%7Ba%7D&variables=%7B%7D")
            },
        ),
        ("a query out of order", at("http://h:1/graphql?b=2&a=1&b=1&c")),
        (
            "a query with a plus and a blank",
            at("http://h:1/graphql?q=a+b%20c&r=%2B"),
        ),
        ("a host without port", at("http://api.example/graphql")),
        ("another path", at("http://h:1/graphql/connect")),
        ("an encoded path, once", at("http://h:1/a%20b/graphql")),
        (
            "an encoded path, twice",
            Sent {
                double: true,
                ..at("http://h:1/a%20b/graphql")
            },
        ),
        ("the root", at("http://h:1/")),
        (
            "a header with runs of blanks",
            with("x-amz-user-agent", "  aws-amplify/6.22.1   datastore/2 "),
        ),
        (
            "almost too early",
            Sent {
                time: now() - SIGNATURE_SKEW_MAX,
                ..Sent::default()
            },
        ),
        (
            "almost too late",
            Sent {
                time: now() + SIGNATURE_SKEW_MAX,
                ..Sent::default()
            },
        ),
    ];
    let gate = gate_for(None);
    for (name, sent) in rows {
        let answer = sent.sign().ask(&gate, now()).await;
        let Ok(Identity::Iam(caller)) = &answer else {
            panic!("{name}: {answer:?}")
        };
        assert_eq!(*caller, user().caller, "{name}");
    }
}

#[tokio::test]
async fn what_clients_do_differently_is_let_in() {
    let gate = gate_for(None);
    // Swift signs the host without its port and sends it with it.
    let swift = Sent {
        url: "http://127.0.0.1/graphql".to_owned(),
        ..Sent::default()
    };
    assert!(
        swift
            .sign()
            .set("host", "127.0.0.1:20002")
            .ask(&gate, now())
            .await
            .is_ok()
    );
    // Others sign the port that goes without saying.
    let port = Sent {
        url: "https://api.example:443/graphql".to_owned(),
        ..Sent::default()
    };
    let port = Sent {
        headers: vec![("host".into(), "api.example:443".into())],
        ..port
    };
    assert!(port.sign().set("host", "api.example").ask(&gate, now()).await.is_ok());
    // A header that was not signed may come along: JavaScript's user agent in a `start`.
    let more = Sent::default().sign().set("x-amz-user-agent", "aws-amplify/6");
    assert!(more.ask(&gate, now()).await.is_ok());
    // The realtime handshake: signed as if it were this request.
    let handshake = Sent {
        url: "http://127.0.0.1:20002/graphql/connect".to_owned(),
        headers: [
            ("accept", "application/json, text/javascript"),
            ("content-encoding", "amz-1.0"),
            ("content-type", "application/json; charset=UTF-8"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        body: "{}".to_owned(),
        ..Sent::default()
    };
    assert!(handshake.sign().ask(&gate, now()).await.is_ok());
    // No blank behind the commas.
    let tight = Sent::default().sign().edit(", ", ",");
    assert!(tight.ask(&gate, now()).await.is_ok());
}

#[tokio::test]
async fn every_part_that_is_altered_is_refused() {
    let session = Sent {
        session: Some("the session's token"),
        ..Sent::default()
    };
    let queried = Sent {
        url: "http://127.0.0.1:20002/graphql?a=1".to_owned(),
        ..Sent::default()
    };
    let good = || Sent::default().sign();
    let signature = good().get("authorization").rsplit('=').next().unwrap().to_owned();
    let zeros = "0".repeat(64);
    let other_end = match signature.ends_with('0') {
        true => format!("{}1", &signature[..63]),
        false => format!("{}0", &signature[..63]),
    };
    let rows: Vec<(&str, Arrived, Refusal)> = vec![
        ("body", good().aim(|target| target.body[12] ^= 1), Refusal::Unknown),
        (
            "body left out",
            good().aim(|target| target.body.clear()),
            Refusal::Unknown,
        ),
        (
            "method",
            good().aim(|target| target.method = "GET".into()),
            Refusal::Unknown,
        ),
        (
            "path",
            good().aim(|target| target.path = "/graphql/connect".into()),
            Refusal::Unknown,
        ),
        (
            "path with a slash more",
            good().aim(|target| target.path.push('/')),
            Refusal::Unknown,
        ),
        (
            "query added",
            good().aim(|target| target.query = "a=1".into()),
            Refusal::Unknown,
        ),
        (
            "query left out",
            queried.sign().aim(|target| target.query.clear()),
            Refusal::Unknown,
        ),
        (
            "query value",
            queried.sign().aim(|target| target.query = "a=2".into()),
            Refusal::Unknown,
        ),
        ("host", good().set("host", "evil.example:20002"), Refusal::Unknown),
        (
            "a signed header",
            good().set("content-type", "text/plain"),
            Refusal::Unknown,
        ),
        (
            "a signed header twice",
            {
                let mut twice = good();
                twice.headers.push(("Content-Type".to_owned(), "text/plain".to_owned()));
                twice
            },
            Refusal::Unknown,
        ),
        (
            "a signed header left out",
            {
                let mut less = good();
                less.headers.retain(|(name, _)| name != "content-type");
                less
            },
            Refusal::Invalid,
        ),
        (
            "session token",
            session.sign().set("x-amz-security-token", "another"),
            Refusal::Unknown,
        ),
        ("signature", good().edit(&signature, &other_end), Refusal::Unknown),
        ("signature of zeros", good().edit(&signature, &zeros), Refusal::Unknown),
        (
            "signature too short",
            good().edit(&signature, &signature[..62]),
            Refusal::Invalid,
        ),
        ("signature empty", good().edit(&signature, ""), Refusal::Invalid),
        ("time", good().set("x-amz-date", "20300101T120001Z"), Refusal::Unknown),
        (
            "time of another day than the scope",
            good().set("x-amz-date", "20300102T000000Z"),
            Refusal::Invalid,
        ),
        ("time unreadable", good().set("x-amz-date", "now"), Refusal::Invalid),
        (
            "no time",
            {
                let mut less = good();
                less.headers.retain(|(name, _)| name != "x-amz-date");
                less
            },
            Refusal::Invalid,
        ),
        (
            "day of the scope",
            good().edit("/20300101/", "/20291231/"),
            Refusal::Invalid,
        ),
        ("region", good().edit("/eu-west-1/", "/eu-west-2/"), Refusal::Unknown),
        ("service", good().edit("/appsync/", "/execute-api/"), Refusal::Unknown),
        (
            "service of something else",
            Sent {
                service: "s3",
                ..Sent::default()
            }
            .sign(),
            Refusal::Unknown,
        ),
        (
            "end of the scope",
            good().edit("aws4_request", "aws5_request"),
            Refusal::Invalid,
        ),
        ("another user's id", good().edit(ID, "AKIAOTHER"), Refusal::Unknown),
        (
            "unknown user",
            Sent {
                id: "AKIANOBODY",
                ..Sent::default()
            }
            .sign(),
            Refusal::Unknown,
        ),
        (
            "unknown user, empty secret",
            Sent {
                id: "AKIANOBODY",
                secret: "",
                ..Sent::default()
            }
            .sign(),
            Refusal::Unknown,
        ),
        (
            "wrong secret",
            Sent {
                secret: "guessed",
                ..Sent::default()
            }
            .sign(),
            Refusal::Unknown,
        ),
        (
            "SignedHeaders shorter",
            good().edit("content-type;host;", "host;"),
            Refusal::Unknown,
        ),
        (
            "SignedHeaders in another order",
            good().edit("content-type;host;", "host;content-type;"),
            Refusal::Unknown,
        ),
        (
            "SignedHeaders without host",
            good().edit("content-type;host;", "content-type;"),
            Refusal::Invalid,
        ),
        (
            "SignedHeaders in capitals",
            good().edit("content-type;", "Content-Type;"),
            Refusal::Invalid,
        ),
        (
            "SignedHeaders empty",
            good().edit("SignedHeaders=content-type;host;x-amz-date", "SignedHeaders="),
            Refusal::Invalid,
        ),
        (
            "two signatures",
            {
                let text = format!("{}, Signature={zeros}", good().get("authorization"));
                good().set("authorization", &text)
            },
            Refusal::Invalid,
        ),
        (
            "no credential",
            good().set("authorization", "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00"),
            Refusal::Invalid,
        ),
        (
            "the algorithm alone",
            good().set("authorization", "AWS4-HMAC-SHA256"),
            Refusal::Invalid,
        ),
        (
            "another algorithm",
            good().edit("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256-PAYLOAD"),
            Refusal::Invalid,
        ),
        (
            "an unsigned body",
            good()
                .set("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
                .aim(|t| t.body[3] ^= 1),
            Refusal::Unknown,
        ),
        (
            "of no request at all",
            Arrived { target: None, ..good() },
            Refusal::Invalid,
        ),
        (
            "too old",
            Sent {
                time: now() - SIGNATURE_SKEW_MAX - Duration::from_secs(1),
                ..Sent::default()
            }
            .sign(),
            Refusal::Skewed,
        ),
        (
            "from the future",
            Sent {
                time: now() + SIGNATURE_SKEW_MAX + Duration::from_secs(1),
                ..Sent::default()
            }
            .sign(),
            Refusal::Skewed,
        ),
        (
            "too old, and forged",
            {
                let old = Sent {
                    time: now() - SIGNATURE_SKEW_MAX * 2,
                    ..Sent::default()
                };
                old.sign().aim(|target| target.body[12] ^= 1)
            },
            Refusal::Unknown,
        ),
    ];
    let gate = gate_for(None);
    println!("\n{:<40} answer", "altered");
    let mut wrong = Vec::new();
    for (name, arrived, refusal) in &rows {
        let answer = arrived.ask(&gate, now()).await;
        println!(
            "{name:<40} {}",
            answer
                .as_ref()
                .map_or_else(ToString::to_string, |_| "LET IN".to_owned())
        );
        if answer.err() != Some(*refusal) {
            wrong.push(*name);
        }
    }
    assert!(wrong.is_empty(), "answered otherwise than the table says: {wrong:?}");
}

#[tokio::test]
async fn a_region_can_be_asked_for_and_without_users_nobody_signs() {
    let sent = Sent::default().sign();
    assert!(sent.ask(&gate_for(Some("eu-west-1")), now()).await.is_ok());
    assert_eq!(
        sent.ask(&gate_for(Some("us-east-1")), now()).await.err(),
        Some(Refusal::Unknown)
    );
    assert_eq!(
        sent.ask(&Gate::new(Keys::default()), now()).await.err(),
        Some(Refusal::Unknown)
    );
}

#[tokio::test]
async fn the_date_header_will_do() {
    // The library always sends `x-amz-date`; so here the steps as AWS describes them.
    let step = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let date = "Tue, 01 Jan 2030 12:00:00 GMT";
    let request = format!(
        "POST\n/graphql\n\ndate:{date}\nhost:h:1\n\ndate;host\n{}",
        hex(&Sha256::digest("{}"))
    );
    let scope = "20300101/eu-west-1/appsync/aws4_request";
    let text = format!(
        "AWS4-HMAC-SHA256\n20300101T120000Z\n{scope}\n{}",
        hex(&Sha256::digest(request))
    );
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in scope.split('/') {
        key = step(&key, part).as_ref().to_vec();
    }
    let mac = hex(step(&key, &text).as_ref());
    let arrived = |date: &str| Arrived {
        headers: [
            ("host", "h:1".to_owned()),
            ("date", date.to_owned()),
            (
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={ID}/{scope}, SignedHeaders=date;host, Signature={mac}"),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec(),
        target: Some(Target {
            method: "POST".to_owned(),
            path: "/graphql".to_owned(),
            body: b"{}".to_vec(),
            ..Target::default()
        }),
    };
    let gate = gate_for(None);
    assert!(arrived(date).ask(&gate, now()).await.is_ok());
    let other = "Tue, 01 Jan 2030 12:00:01 GMT";
    assert_eq!(arrived(other).ask(&gate, now()).await.err(), Some(Refusal::Unknown));
}

#[test]
fn users_that_cannot_be_told_apart_are_told_before_the_start() {
    let problem = |iam: Vec<IamUser>| {
        let config = AuthConfig {
            iam,
            ..AuthConfig::default()
        };
        config.problems().first().map(ToString::to_string)
    };
    assert_eq!(problem(vec![user()]), None);
    assert!(
        problem(vec![user(), user()])
            .unwrap()
            .contains("two have the access_key_id")
    );
    let many = (0..=IAM_USERS_MAX).map(|n| IamUser::new("x", format!("A{n}"), SECRET, IamRole::Admin, ["*"]));
    assert!(problem(many.collect()).unwrap().contains("more than 1000"));
}

#[test]
fn a_secret_is_never_printed() {
    let config = AuthConfig {
        iam: vec![user()],
        ..AuthConfig::default()
    };
    let gate = Gate::open(Keys::default(), &config).unwrap();
    let shown = Shown::object(json!({ "authorization": "s3cret" }).as_object().unwrap()).of(Target {
        body: b"s3cret".to_vec(),
        ..Target::default()
    });
    let text = format!("{config:?} {gate:?} {shown:?}");
    assert!(
        text.contains(ID) && !text.contains(SECRET) && !text.contains("s3cret"),
        "{text}"
    );
}
