//! Keys that come and go, and issuers that cannot be reached.

use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::json;
use tombolo_server::auth::issuer::{
    ISSUER_ANSWER_BYTES_MAX, ISSUERS_MAX, IssuerConfig, JWKS_FETCH_INTERVAL, JWKS_KEPT_MAX, JWKS_TTL,
};
use tombolo_server::auth::jwk::KEYS_PER_ISSUER_MAX;
use tombolo_server::auth::{AuthConfig, Gate, Refusal};

use crate::issuer::{Fake, gate};
use crate::tokens::{Pair, claims, now, seconds, shows};

fn after(span: Duration) -> Timestamp {
    now().checked_add(span).unwrap()
}

/// A token made `offset` seconds after the test's beginning, valid for days.
fn fresh(pair: &Pair, fake: &Fake, offset: i64) -> String {
    let change = json!({ "iat": seconds(offset), "exp": seconds(1_000_000) });
    pair.sign(&claims(&fake.url, &change))
}

async fn ask(gate: &Gate, token: &str, at: Timestamp) -> Result<(), Refusal> {
    gate.admit(&shows(token), at).await.map(|_| ())
}

#[tokio::test]
async fn a_new_key_is_found_at_its_first_token_and_a_withdrawn_one_is_gone() {
    let (old, new) = (Pair::rsa("old"), Pair::other_rsa("new"));
    let fake = Fake::start(&[&old]).await;
    let gate = fake.gate();
    assert_eq!(ask(&gate, &fresh(&old, &fake, 0), now()).await, Ok(()));
    fake.publish(&[&new]);
    let later = after(JWKS_FETCH_INTERVAL);
    assert_eq!(
        ask(&gate, &fresh(&old, &fake, 0), later).await,
        Ok(()),
        "nobody has told us yet"
    );
    assert_eq!(ask(&gate, &fresh(&new, &fake, 10), later).await, Ok(()));
    assert_eq!(fake.fetches(), 2);
    assert_eq!(
        ask(&gate, &fresh(&old, &fake, 0), later).await,
        Err(Refusal::Unknown),
        "what the issuer has withdrawn is believed no more"
    );
    let moment = later.checked_add(Duration::from_secs(1)).unwrap();
    assert_eq!(
        ask(&gate, &fresh(&old, &fake, 10), moment).await,
        Err(Refusal::Unknown),
        "and is not waited for"
    );
    assert_eq!(fake.fetches(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_believed_no_longer_than_the_keys_are_kept() {
    let (old, new) = (Pair::rsa("old"), Pair::other_rsa("new"));
    let fake = Fake::start(&[&old]).await;
    let gate = fake.gate();
    let token = fresh(&old, &fake, 0);
    assert_eq!(ask(&gate, &token, now()).await, Ok(()));
    fake.publish(&[&new]);
    let just = after(JWKS_TTL - Duration::from_millis(1));
    assert_eq!(ask(&gate, &token, just).await, Ok(()));
    assert_eq!(ask(&gate, &token, after(JWKS_TTL)).await, Err(Refusal::Unknown));
    assert_eq!(fake.fetches(), 2);
}

#[tokio::test]
async fn made_up_keys_cost_the_issuer_one_fetch_an_interval() {
    let good = Pair::rsa("k1");
    let fake = Fake::start(&[&good]).await;
    let gate = fake.gate();
    assert_eq!(ask(&gate, &fresh(&good, &fake, 0), now()).await, Ok(()));
    let made_up = Pair::other_rsa("made up");
    let old = fresh(&made_up, &fake, -600);
    for second in 0..20 {
        let at = after(Duration::from_secs(second));
        assert_eq!(
            ask(&gate, &old, at).await,
            Err(Refusal::Unknown),
            "its key would be known"
        );
        let token = fresh(&made_up, &fake, i64::try_from(second).unwrap());
        let refusal = ask(&gate, &token, at).await.unwrap_err();
        let expected = match second % JWKS_FETCH_INTERVAL.as_secs() {
            0 => Refusal::Unknown,
            // It may be signed with a key that is newer than ours.
            _ => Refusal::Unavailable,
        };
        assert_eq!(refusal, expected, "second {second}");
        assert_eq!(
            ask(&gate, &fresh(&good, &fake, 0), at).await,
            Ok(()),
            "the honest are not kept waiting"
        );
    }
    assert_eq!(fake.fetches(), 2, "at the beginning and after the interval");
}

#[tokio::test]
async fn many_at_once_fetch_once() {
    let good = Pair::rsa("k1");
    let fake = Fake::start(&[&good]).await;
    let gate = fake.gate();
    let token = fresh(&good, &fake, 0);
    let asked: Vec<_> = (0..50).map(|_| ask(&gate, &token, now())).collect();
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer, Ok(()));
    }
    assert_eq!(fake.fetches(), 1);
}

#[tokio::test]
async fn a_caller_who_hangs_up_keeps_the_keys_from_nobody() {
    let good = Pair::rsa("k1");
    let fake = Fake::start(&[&good]).await;
    let gate = fake.gate();
    let token = fresh(&good, &fake, 0);
    // Polled once it has begun to fetch; then it is gone.
    let mut asking = Box::pin(ask(&gate, &token, now()));
    assert!(futures_util::poll!(&mut asking).is_pending());
    drop(asking);
    assert_eq!(ask(&gate, &token, now()).await, Ok(()));
    assert_eq!(fake.fetches(), 1);
}

#[tokio::test]
async fn an_unreachable_issuers_keys_stay_in_use_for_a_while() {
    let good = Pair::rsa("k1");
    let fake = Fake::start(&[&good]).await;
    let gate = fake.gate();
    let token = fresh(&good, &fake, 0);
    assert_eq!(ask(&gate, &token, now()).await, Ok(()));
    fake.moods().failing = Some(StatusCode::BAD_GATEWAY);
    for age in [JWKS_TTL, JWKS_TTL * 2, JWKS_KEPT_MAX - Duration::from_millis(1)] {
        assert_eq!(ask(&gate, &token, after(age)).await, Ok(()), "{age:?}");
    }
    assert_eq!(
        ask(&gate, &token, after(JWKS_KEPT_MAX)).await,
        Err(Refusal::Unavailable),
        "nobody knows any more; and that is not the token's fault"
    );
    fake.moods().failing = None;
    assert_eq!(
        ask(&gate, &token, after(JWKS_KEPT_MAX + JWKS_FETCH_INTERVAL)).await,
        Ok(())
    );
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_makes_callers_come_again() {
    let good = Pair::rsa("k1");
    let fake = Fake::start(&[&good]).await;
    let gate = fake.gate();
    let token = fresh(&good, &fake, 0);
    fake.moods().failing = Some(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(&gate, &token, now()).await, Err(Refusal::Unavailable));
    fake.moods().failing = None;
    assert_eq!(
        ask(&gate, &token, after(JWKS_FETCH_INTERVAL / 2)).await,
        Err(Refusal::Unavailable),
        "it is not asked again at once"
    );
    assert_eq!(fake.fetches(), 0);
    assert_eq!(ask(&gate, &token, after(JWKS_FETCH_INTERVAL)).await, Ok(()));
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_nobody_out_and_no_key_in() {
    let (old, new) = (Pair::rsa("old"), Pair::other_rsa("new"));
    let fake = Fake::start(&[&old]).await;
    let gate = fake.gate();
    assert_eq!(
        ask(&gate, &fresh(&old, &fake, 0), after(Duration::from_secs(30))).await,
        Ok(())
    );
    fake.publish(&[&new]);
    assert_eq!(ask(&gate, &fresh(&new, &fake, 0), now()).await, Ok(()));
    assert_eq!(ask(&gate, &fresh(&old, &fake, 0), now()).await, Err(Refusal::Unknown));
}

#[tokio::test]
async fn what_an_issuer_publishes_is_not_taken_on_trust() {
    let good = Pair::rsa("k1");
    let key = good.public();
    let many: Vec<_> = (0..=KEYS_PER_ISSUER_MAX).map(|_| key.clone()).collect();
    let mut encrypting = key.clone();
    encrypting["use"] = json!("enc");
    let mut wrapping = key.clone();
    wrapping["key_ops"] = json!(["wrapKey"]);
    let mut of_another = key.clone();
    of_another["alg"] = json!("ES256");
    let mut shared = key.clone();
    shared["kty"] = json!("oct");
    shared["k"] = json!("c2VjcmV0");
    let mut zero = key.clone();
    zero["n"] = json!("AAAA");
    let key_sets = [
        ("no JSON", "<html>".to_owned()),
        ("no keys", json!({ "keys": [] }).to_string()),
        ("too many keys", json!({ "keys": many }).to_string()),
        (
            "too long",
            json!({ "keys": [key], "x": "y".repeat(ISSUER_ANSWER_BYTES_MAX) }).to_string(),
        ),
        ("a key for encryption", json!({ "keys": [encrypting] }).to_string()),
        ("a key for wrapping", json!({ "keys": [wrapping] }).to_string()),
        ("a key of two kinds", json!({ "keys": [of_another] }).to_string()),
        ("a shared secret", json!({ "keys": [shared] }).to_string()),
        ("a key of nothing", json!({ "keys": [zero] }).to_string()),
    ];
    for (name, set) in key_sets {
        let fake = Fake::start(&[&good]).await;
        fake.moods().key_set = Some(set);
        let answer = ask(&fake.gate(), &fresh(&good, &fake, 0), now()).await;
        assert_eq!(answer, Err(Refusal::Unavailable), "{name}");
    }
    // Among others of no use the good one is found.
    let fake = Fake::start(&[&good]).await;
    let mixed = json!({ "keys": [{"kty": "EC", "crv": "secp256k1"}, {"kty": 1}, 5, good.public()] });
    fake.moods().key_set = Some(mixed.to_string());
    assert_eq!(ask(&fake.gate(), &fresh(&good, &fake, 0), now()).await, Ok(()));
}

#[tokio::test]
async fn a_discovery_document_speaks_for_its_own_issuer_only() {
    let good = Pair::rsa("k1");
    for (name, change) in [
        ("another issuer", json!({ "issuer": "https://evil.example" })),
        ("no key set", json!({ "jwks_uri": null })),
        ("keys in a file", json!({ "jwks_uri": "file:///etc/passwd" })),
        ("no URL", json!({ "jwks_uri": "jwks" })),
    ] {
        let fake = Fake::start(&[&good]).await;
        fake.moods().discovery = change;
        let answer = ask(&fake.gate(), &fresh(&good, &fake, 0), now()).await;
        assert_eq!(answer, Err(Refusal::Unavailable), "{name}");
        assert_eq!(fake.fetches(), 0, "{name}");
    }
}

#[tokio::test]
async fn keys_can_be_named_without_discovery() {
    let good = Pair::rsa("k1");
    let fake = Fake::start(&[&good]).await;
    let gate = gate(vec![IssuerConfig {
        jwks_url: Some(format!("{}/jwks", fake.url)),
        ..IssuerConfig::at("http://keycloak.internal/realms/x")
    }]);
    let token = good.sign(&claims("http://keycloak.internal/realms/x", &json!({ "aud": "any" })));
    assert_eq!(ask(&gate, &token, now()).await, Ok(()));
}

#[test]
fn issuers_that_cannot_be_used_are_told_before_the_start() {
    let issuer = || IssuerConfig::at("https://id.example");
    let problem = |issuers: Vec<IssuerConfig>| {
        let config = AuthConfig {
            issuers,
            ..AuthConfig::default()
        };
        config.problems().first().map(ToString::to_string)
    };
    assert_eq!(problem(vec![issuer()]), None);
    assert_eq!(
        problem(vec![IssuerConfig::at("http://[::1]:9/x")]),
        None,
        "this machine"
    );
    let table = [
        (vec![IssuerConfig::at("http://id.example")], "over http"),
        (vec![IssuerConfig::at("http://localhost.evil.example")], "over http"),
        (vec![IssuerConfig::at("id.example")], "is no http:// or https:// URL"),
        (vec![IssuerConfig::at("file:///x")], "is no http:// or https:// URL"),
        (
            vec![IssuerConfig {
                mode: Some("AWS_IAM".into()),
                ..issuer()
            }],
            "mode is",
        ),
        (
            vec![IssuerConfig {
                client_id: Some("(".into()),
                ..issuer()
            }],
            "client_id is no regular",
        ),
        (
            vec![IssuerConfig {
                algorithms: Some(vec![]),
                ..issuer()
            }],
            "algorithms is empty",
        ),
        (
            vec![IssuerConfig {
                jwks_url: Some("x".into()),
                ..issuer()
            }],
            "is no http:// or https:// URL",
        ),
        (vec![issuer(), issuer()], "is there twice"),
        (
            (0..=ISSUERS_MAX)
                .map(|n| IssuerConfig::at(format!("https://{n}.example")))
                .collect(),
            "more than 50",
        ),
    ];
    for (issuers, says) in table {
        let message = problem(issuers).unwrap_or_else(|| panic!("taken, though {says}"));
        assert!(message.contains(says), "{message}");
    }
}
