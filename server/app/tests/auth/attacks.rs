//! Tokens that must be refused, as a table: each row is one attack on one token that would be let in. And those that must be let
//! in, lest the table be passed by refusing everything.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value as Json, json};
use tombolo_core::access::{AuthMode, Identity};
use tombolo_server::auth::issuer::IssuerConfig;
use tombolo_server::auth::jwt::TOKEN_BYTES_MAX;
use tombolo_server::auth::{CLOCK_LEEWAY, Refusal};

use crate::issuer::{Fake, gate};
use crate::tokens::{Pair, by_hand, claims, now, seconds, shows, signed_by_hand};

/// What is tried, the `authorization` that is shown, what the server says.
type Row = (&'static str, String, Refusal);

#[tokio::test]
async fn no_attack_on_a_token_gets_in() {
    let good = Pair::rsa("k1");
    let ec = Pair::of("k2", Algorithm::ES256);
    let thief = Pair::other_rsa("k1");
    let fake = Fake::start(&[&good, &ec]).await;
    // Another issuer that the server trusts as well, for other things.
    let stranger = Fake::start(&[&thief]).await;
    let gate = gate(vec![fake.config(), stranger.config()]);
    let with = |change: Json| good.sign(&claims(&fake.url, &change));
    let plain = claims(&fake.url, &json!({}));
    let token = good.sign(&plain);
    let parts: Vec<&str> = token.split('.').collect();
    let (head, body, mac) = (parts[0], parts[1], parts[2]);
    let with_header = |change: &dyn Fn(&mut Header)| {
        let mut header = good.header();
        change(&mut header);
        good.sign_with(&header, &plain)
    };
    let n = STANDARD.encode(URL_SAFE_NO_PAD.decode(good.public()["n"].as_str().unwrap()).unwrap());
    let hmac = |secret: &[u8]| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("k1".to_owned());
        jsonwebtoken::encode(&header, &plain, &EncodingKey::from_secret(secret).unwrap()).unwrap()
    };
    let leeway = i64::try_from(CLOCK_LEEWAY.as_secs()).unwrap();
    let mut flipped = URL_SAFE_NO_PAD.decode(mac).unwrap();
    flipped[7] ^= 1;
    let other_body = URL_SAFE_NO_PAD.encode(claims(&fake.url, &json!({ "sub": "eve" })).to_string());

    let rows: Vec<Row> = vec![
        // Nothing that is a token.
        ("no token", "letmein".into(), Refusal::Unparsable),
        ("an empty text", String::new(), Refusal::Unparsable),
        ("Bearer and nothing", "Bearer ".into(), Refusal::Unparsable),
        ("Basic", "Basic YTpi".into(), Refusal::Unparsable),
        ("two parts", format!("{head}.{body}"), Refusal::Unparsable),
        ("four parts", format!("{token}.x"), Refusal::Unparsable),
        ("padding", format!("{head}=.{body}.{mac}"), Refusal::Unparsable),
        (
            "a payload that is no object",
            by_hand(&json!({"alg": "RS256"}), &json!([1]), b"x"),
            Refusal::Unparsable,
        ),
        (
            "a header with two algorithms",
            format!(
                "{}.{body}.{mac}",
                URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","alg":"none","kid":"k1"}"#)
            ),
            Refusal::Unparsable,
        ),
        (
            "too long",
            with(json!({ "x": "y".repeat(TOKEN_BYTES_MAX) })),
            Refusal::Unparsable,
        ),
        // Unsigned, or signed by what everybody knows.
        (
            "alg none, unsigned",
            by_hand(&json!({"alg": "none"}), &plain, b""),
            Refusal::Unknown,
        ),
        (
            "alg None, with a kid",
            by_hand(&json!({"alg": "None", "kid": "k1"}), &plain, b""),
            Refusal::Unknown,
        ),
        (
            "alg none, signature kept",
            {
                let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"k1"}"#);
                format!("{header}.{body}.{mac}")
            },
            Refusal::Unknown,
        ),
        ("signature left out", format!("{head}.{body}."), Refusal::Unknown),
        (
            "HS256, the public key's modulus as secret",
            hmac(
                &URL_SAFE_NO_PAD
                    .decode(n.replace('+', "-").replace('/', "_").replace('=', ""))
                    .unwrap(),
            ),
            Refusal::Unknown,
        ),
        (
            "HS256, the public key in base64 as secret",
            hmac(n.as_bytes()),
            Refusal::Unknown,
        ),
        (
            "HS256, the published key as secret",
            hmac(good.public().to_string().as_bytes()),
            Refusal::Unknown,
        ),
        // Signed with another key, or changed afterwards.
        ("key swapped, same kid", thief.sign(&plain), Refusal::Unknown),
        (
            "another trusted issuer's key",
            Pair::other_rsa("k1").sign(&plain),
            Refusal::Unknown,
        ),
        (
            "a key that comes along in the header (jwk)",
            signed_by_hand(
                &thief,
                &json!({"alg": "RS256", "kid": "k1", "jwk": thief.public()}),
                &plain,
            ),
            Refusal::Unknown,
        ),
        (
            "the same without a kid",
            signed_by_hand(&thief, &json!({"alg": "RS256", "jwk": thief.public()}), &plain),
            Refusal::Unknown,
        ),
        (
            "a key set that comes along in the header (jku)",
            with_header(&|header| {
                header.jku = Some(format!("{}/jwks", stranger.url));
                header.kid = Some("k9".to_owned());
            }),
            Refusal::Unknown,
        ),
        (
            "kid unknown",
            with_header(&|header| header.kid = Some("k3".to_owned())),
            Refusal::Unknown,
        ),
        (
            "kid is a path",
            with_header(&|header| header.kid = Some("../../dev/null".to_owned())),
            Refusal::Unknown,
        ),
        (
            "kid of a key of another kind",
            with_header(&|header| header.kid = Some("k2".to_owned())),
            Refusal::Unknown,
        ),
        (
            "RS512 under a key published for RS256",
            Pair::rsa_for("k1", Algorithm::RS512).sign(&plain),
            Refusal::Unknown,
        ),
        (
            "one bit of the signature",
            format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(&flipped)),
            Refusal::Unknown,
        ),
        (
            "claims changed after signing",
            format!("{head}.{other_body}.{mac}"),
            Refusal::Unknown,
        ),
        (
            "an ECDSA signature of zeros",
            by_hand(&json!({"alg": "ES256", "kid": "k2"}), &plain, &[0; 64]),
            Refusal::Unknown,
        ),
        (
            "an extension that must be understood (crit)",
            signed_by_hand(&good, &json!({"alg": "RS256", "kid": "k1", "crit": ["exp"]}), &plain),
            Refusal::Unknown,
        ),
        (
            "an empty crit",
            signed_by_hand(&good, &json!({"alg": "RS256", "kid": "k1", "crit": []}), &plain),
            Refusal::Unknown,
        ),
        (
            "a header that names another algorithm than it is signed by",
            signed_by_hand(&good, &json!({"alg": "PS256", "kid": "k1"}), &plain),
            Refusal::Unknown,
        ),
        // Genuine, but not for us or not for this.
        (
            "issuer unknown",
            with(json!({ "iss": "https://evil.example" })),
            Refusal::Unknown,
        ),
        (
            "issuer with a slash more",
            with(json!({ "iss": format!("{}/", fake.url) })),
            Refusal::Unknown,
        ),
        (
            "issuer in capitals",
            with(json!({ "iss": fake.url.to_uppercase() })),
            Refusal::Unknown,
        ),
        ("no issuer", with(json!({ "iss": null })), Refusal::Unknown),
        ("issuer is a list", with(json!({ "iss": [fake.url] })), Refusal::Unknown),
        ("audience wrong", with(json!({ "aud": "shop" })), Refusal::Unknown),
        (
            "audience that only contains ours",
            with(json!({ "aud": "my-app-12" })),
            Refusal::Unknown,
        ),
        ("no audience", with(json!({ "aud": null })), Refusal::Unknown),
        (
            "audience is an object",
            with(json!({ "aud": {"app-1": 1} })),
            Refusal::Unknown,
        ),
        (
            "client_id wrong",
            with(json!({ "aud": null, "client_id": "shop", "token_use": "access" })),
            Refusal::Unknown,
        ),
        (
            "a refresh token",
            with(json!({ "token_use": "refresh" })),
            Refusal::Unknown,
        ),
        (
            "token_use is no text",
            with(json!({ "token_use": true })),
            Refusal::Unknown,
        ),
        (
            "a sign-out notice (typ logout+jwt)",
            with_header(&|h| h.typ = Some("logout+jwt".into())),
            Refusal::Unknown,
        ),
        ("no subject", with(json!({ "sub": null })), Refusal::Unknown),
        ("an empty subject", with(json!({ "sub": "" })), Refusal::Unknown),
        (
            "a subject that is a number",
            with(json!({ "sub": 7 })),
            Refusal::Unknown,
        ),
        // At another time.
        ("expired", with(json!({ "exp": seconds(-1) })), Refusal::TokenExpired),
        (
            "expiring now",
            with(json!({ "exp": seconds(0) })),
            Refusal::TokenExpired,
        ),
        (
            "expired by a part of a second",
            with(json!({ "exp": 0.5 + seconds(-1) as f64 })),
            Refusal::TokenExpired,
        ),
        (
            "expired before the calendar",
            with(json!({ "exp": -1.0e300 })),
            Refusal::TokenExpired,
        ),
        ("no end", with(json!({ "exp": null })), Refusal::Unknown),
        (
            "an end that is a text",
            with(json!({ "exp": "2099-01-01" })),
            Refusal::Unknown,
        ),
        (
            "not valid yet",
            with(json!({ "nbf": seconds(leeway + 1) })),
            Refusal::Unknown,
        ),
        (
            "issued in the future",
            with(json!({ "iat": seconds(leeway + 1) })),
            Refusal::Unknown,
        ),
        ("nbf is a text", with(json!({ "nbf": "0" })), Refusal::Unknown),
    ];
    println!("\n{:<52} {}", "attack", "answer");
    let mut let_in = Vec::new();
    for (name, authorization, refusal) in &rows {
        let answer = gate.admit(&shows(authorization), now()).await;
        let said = match &answer {
            Ok(_) => "LET IN".to_owned(),
            Err(refusal) => refusal.to_string(),
        };
        println!("{name:<52} {said}");
        if answer.err() != Some(*refusal) {
            let_in.push(*name);
        }
    }
    assert!(let_in.is_empty(), "answered otherwise than the table says: {let_in:?}");
}

#[tokio::test]
async fn what_holds_is_let_in() {
    let good = Pair::rsa("k1");
    let fake = Fake::start(&[&good]).await;
    let gate = fake.gate();
    let leeway = i64::try_from(CLOCK_LEEWAY.as_secs()).unwrap();
    let with = |change: Json| good.sign(&claims(&fake.url, &change));
    let at_jwt = {
        let mut header = good.header();
        header.typ = Some("at+jwt".to_owned());
        good.sign_with(&header, &claims(&fake.url, &json!({})))
    };
    let nameless = {
        let mut header = good.header();
        header.kid = None;
        good.sign_with(&header, &claims(&fake.url, &json!({})))
    };
    let rows = [
        ("an id token", with(json!({}))),
        (
            "an access token",
            with(json!({ "aud": null, "client_id": "app-2", "token_use": "access" })),
        ),
        (
            "by azp",
            with(json!({ "aud": "api", "azp": "app-3", "token_use": null })),
        ),
        ("one of several audiences", with(json!({ "aud": ["api", "app-1"] }))),
        ("Bearer before it", format!("Bearer {}", with(json!({})))),
        ("bearer in small letters", format!("bearer  {}", with(json!({})))),
        ("typ at+jwt", at_jwt),
        ("no kid, one key", nameless),
        (
            "within the leeway",
            with(json!({ "nbf": seconds(leeway), "iat": seconds(leeway) })),
        ),
        (
            "times with fractions",
            with(json!({ "exp": 0.5 + seconds(3600) as f64 })),
        ),
        ("an end beyond the calendar", with(json!({ "exp": 1.0e300 }))),
    ];
    for (name, authorization) in rows {
        let admitted = gate.admit(&shows(&authorization), now()).await;
        let admitted = admitted.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let Identity::User(user) = &admitted.identity else {
            panic!("{name}: {:?}", admitted.identity)
        };
        assert_eq!(
            (user.mode, user.sub(), user.username()),
            (AuthMode::Oidc, "ada", "ada.l"),
            "{name}"
        );
        assert!(admitted.expires.is_some_and(|end| end >= now()), "{name}");
    }
    let admitted = gate.admit(&shows(&with(json!({}))), now()).await.unwrap();
    assert_eq!(
        admitted.expires.unwrap().as_second(),
        seconds(3600),
        "a session ends with its token"
    );
    assert_eq!(fake.fetches(), 1, "keys are fetched once");
}

#[tokio::test]
async fn every_algorithm_is_checked_and_only_those_allowed() {
    use tombolo_server::auth::jwk::Algorithm as Ours;
    let all = [
        (Algorithm::RS256, Ours::RS256),
        (Algorithm::RS384, Ours::RS384),
        (Algorithm::RS512, Ours::RS512),
        (Algorithm::PS256, Ours::PS256),
        (Algorithm::PS384, Ours::PS384),
        (Algorithm::PS512, Ours::PS512),
        (Algorithm::ES256, Ours::ES256),
        (Algorithm::ES384, Ours::ES384),
        (Algorithm::EdDSA, Ours::EdDSA),
    ];
    assert_eq!(all.len(), Ours::ALL.len());
    for (algorithm, ours) in all {
        let pair = Pair::of("k", algorithm);
        let fake = Fake::start(&[&pair]).await;
        let token = pair.sign(&claims(&fake.url, &json!({})));
        let admitted = fake.gate().admit(&shows(&token), now()).await;
        assert!(admitted.is_ok(), "{algorithm:?}: {admitted:?}");
        let (signed, mac) = token.rsplit_once('.').unwrap();
        let mut mac = URL_SAFE_NO_PAD.decode(mac).unwrap();
        mac[11] ^= 4;
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac));
        let refused = fake.gate().admit(&shows(&forged), now()).await;
        assert_eq!(refused.err(), Some(Refusal::Unknown), "{algorithm:?}");
        let others = Ours::ALL.into_iter().filter(|other| *other != ours).collect();
        let narrow = gate(vec![IssuerConfig {
            algorithms: Some(others),
            ..fake.config()
        }]);
        let refused = narrow.admit(&shows(&token), now()).await;
        assert_eq!(
            refused.err(),
            Some(Refusal::Unknown),
            "{algorithm:?} is not in the list"
        );
    }
}

#[tokio::test]
async fn how_old_a_token_and_a_sign_in_may_be_can_be_bounded() {
    let good = Pair::rsa("k1");
    let fake = Fake::start(&[&good]).await;
    let gate = gate(vec![IssuerConfig {
        iat_ttl_ms: Some(300_000),
        auth_ttl_ms: Some(7_200_000),
        mode: Some("AMAZON_COGNITO_USER_POOLS".to_owned()),
        ..fake.config()
    }]);
    for (change, refusal) in [
        (json!({ "iat": seconds(-299), "auth_time": seconds(-7199) }), None),
        (json!({ "iat": seconds(-300) }), Some(Refusal::TokenExpired)),
        (json!({ "iat": null }), Some(Refusal::TokenExpired)),
        (json!({ "auth_time": seconds(-7200) }), Some(Refusal::TokenExpired)),
        (json!({ "auth_time": null }), Some(Refusal::TokenExpired)),
        (json!({ "auth_time": "now" }), Some(Refusal::Unknown)),
    ] {
        let token = good.sign(&claims(&fake.url, &change));
        let answer = gate.admit(&shows(&token), now()).await;
        assert_eq!(answer.as_ref().err(), refusal.as_ref(), "{change}");
        if let Ok(admitted) = answer {
            assert_eq!(admitted.identity.mode(), Some(AuthMode::UserPools));
            // What is open by it ends when a request with it would be refused.
            let ends = now().checked_add(Duration::from_secs(1)).unwrap();
            assert_eq!(admitted.expires, Some(ends), "{change}");
        }
    }
}
