//! What the configuration promises.

use std::path::Path;

use super::*;
use crate::outbound::Secret;
use crate::telemetry::LogFormat;

const GOOD: &str = "schema = \"s.graphql\"\n[[api_keys]]\nname = \"app\"\nkey = \"0123456789abcdef\"\n";

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Settings::parse("t.toml", text, Path::new("/etc/tombolo"), environment)
}

#[test]
fn the_smallest_file_gives_the_defaults() {
    let settings = parse(GOOD, &[]).unwrap();
    assert_eq!(settings.config.listen, LISTEN_DEFAULT);
    assert_eq!(
        settings.config.schema,
        SchemaSource::File("/etc/tombolo/s.graphql".into())
    );
    assert_eq!(
        settings.config.database,
        Database::File("/etc/tombolo/tombolo.sqlite".into())
    );
    assert_eq!(settings.config.limits, Limits::default());
    assert_eq!(settings.log, Log::default());
}

#[test]
fn the_environment_wins() {
    let settings = parse(
        GOOD,
        &[
            ("TOMBOLO_LISTEN", "0.0.0.0:1"),
            ("TOMBOLO_TOMBOLO_LISTEN", "0.0.0.0:2"),
            ("TOMBOLO_SCHEMA", "x.graphql"),
            ("TOMBOLO_DATABASE", ":memory:"),
            ("TOMBOLO_SYNCHRONOUS", "normal"),
            ("TOMBOLO_API_KEY", "fedcba9876543210"),
            ("TOMBOLO_LOG_FORMAT", "json"),
            ("TOMBOLO_LOG_FILTER", "debug"),
            ("TOMBOLO_LIMITS_BATCH_MAX", "7"),
            ("TOMBOLO_RESOLVER_URL", "http://h/"),
            ("TOMBOLO_RESOLVER_TIMEOUT_MS", "9"),
            ("TOMBOLO_RESOLVER_HEADER", "a: b"),
            ("TOMBOLO_SERVICE_HOST", "10.0.0.1"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(settings.config.listen, "0.0.0.0:1");
    assert_eq!(settings.config.schema, SchemaSource::File("x.graphql".into()));
    assert_eq!(settings.config.database, Database::Memory);
    assert_eq!(settings.config.synchronous, Synchronous::Normal);
    assert_eq!(settings.config.limits.batch_max, 7);
    let resolver = ResolverConfig {
        timeout_ms: Some(9),
        header: Some(Secret("a: b".into())),
        ..ResolverConfig::at("http://h/")
    };
    assert_eq!(settings.config.resolver, resolver);
    assert_eq!(settings.config.api_keys.len(), 2);
    assert_eq!(
        settings.log,
        Log {
            format: LogFormat::Json,
            filter: "debug".into()
        }
    );
    assert_eq!(
        settings.unknown_variables,
        ["TOMBOLO_SERVICE_HOST", "TOMBOLO_TOMBOLO_LISTEN"]
    );
}

#[test]
fn what_is_wrong_is_refused_by_place() {
    let key = "[[api_keys]]\nname = \"app\"\n";
    /// File, environment, what the message says.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let table: &[Case<'_>] = &[
        ("listne = 1\n", &[], &["t.toml:1:1: unknown field `listne`"]),
        ("schema = 1\n", &[], &["t.toml:1:10: invalid type: integer `1`"]),
        ("schema = \n", &[], &["t.toml:1:10: "]),
        (
            &format!("{GOOD}[limits]\nbatch = 1\n"),
            &[],
            &["t.toml:6:1: unknown field `batch`"],
        ),
        (&format!("{GOOD}[limits]\nbatch_max = -1\n"), &[], &["t.toml:6:13: "]),
        (
            &format!("{GOOD}[limits]\nbatch_max = 0\n"),
            &[],
            &["t.toml: limits.batch_max: is 0"],
        ),
        (
            &format!("{GOOD}[limits]\nping_interval_ms = 70000\nsilence_timeout_ms = 10000\n"),
            &[],
            &["t.toml: limits.ping_interval_ms: is 70000 and silence_timeout_ms is 10000"],
        ),
        (
            &format!("{GOOD}[log]\nformat = \"xml\"\n"),
            &[],
            &["t.toml:6:10: unknown variant `xml`"],
        ),
        (
            &format!("{GOOD}[log]\nfilter = \"a=b=c\"\n"),
            &[],
            &["log.filter \"a=b=c\" cannot be read"],
        ),
        ("", &[], &["t.toml: no API key", "t.toml: no schema"]),
        (
            key,
            &[],
            &["t.toml:1:1: API key \"app\" has neither key nor key_sha256"],
        ),
        (
            &format!("{key}key = \"short\"\n"),
            &[],
            &["API key \"app\" has fewer than 16 characters"],
        ),
        (
            "[[api_keys]]\nname = \"iam#app\"\nkey = \"0123456789abcdef\"\n",
            &[],
            &["t.toml:1:1: API key \"iam#app\": its name has a `#`"],
        ),
        (
            &format!("{key}key_sha256 = \"ab\"\n"),
            &[],
            &["is not 64 hexadecimal digits"],
        ),
        (
            &format!("{GOOD}key_sha256 = \"ab\"\n"),
            &[],
            &["t.toml:2:1: API key \"app\" has both"],
        ),
        (
            &format!("{GOOD}expires = 2030-01-01T00:00:00\n"),
            &[],
            &["expires of API key \"app\" has no time zone"],
        ),
        (
            &format!("{GOOD}{key}key = \"0123456789abcdef\"\n"),
            &[],
            &["t.toml:5:1: two API keys are called \"app\""],
        ),
        (
            GOOD,
            &[("TOMBOLO_LIMITS_BATCH", "1")],
            &["TOMBOLO_LIMITS_BATCH: there is no limit \"batch\""],
        ),
        (
            GOOD,
            &[("TOMBOLO_LIMITS_BATCH_MAX", "x")],
            &["TOMBOLO_LIMITS_BATCH_MAX: \"x\" is not a whole number"],
        ),
        (
            GOOD,
            &[("TOMBOLO_LIMITS_BATCH_MAX", "-1")],
            &["TOMBOLO_LIMITS_BATCH_MAX: \"-1\" is out of range"],
        ),
        (
            &format!("{GOOD}[resolver]\nurll = \"x\"\n"),
            &[],
            &["t.toml:6:1: unknown field `urll`"],
        ),
        (
            GOOD,
            &[("TOMBOLO_RESOLVER_TIMEOUT_MS", "soon")],
            &["TOMBOLO_RESOLVER_TIMEOUT_MS: \"soon\" is no number"],
        ),
        (
            GOOD,
            &[("TOMBOLO_LOG_FORMAT", "xml")],
            &["TOMBOLO_LOG_FORMAT: \"xml\" is no log format"],
        ),
        (
            GOOD,
            &[("TOMBOLO_API_KEY", "short")],
            &["TOMBOLO_API_KEY: API key \"environment\" has fewer"],
        ),
    ];
    for (text, environment, expected) in table {
        let message = parse(text, environment).expect_err(text).to_string();
        for part in *expected {
            assert!(
                message.contains(part),
                "{text}\n{environment:?}\nsays: {message}\nwanted: {part}"
            );
        }
        assert!(!message.contains("0123456789abcdef"), "a key is printed: {message}");
    }
}

#[test]
fn an_expiry_is_a_moment_or_a_day() {
    for (expires, before, after) in [
        ("2030-01-01", "2029-12-31T23:59:59Z", "2030-01-01T00:00:00Z"),
        (
            "2030-01-01T00:00:00+01:00",
            "2029-12-31T22:59:59Z",
            "2029-12-31T23:00:00Z",
        ),
    ] {
        let settings = parse(&format!("{GOOD}expires = {expires}\n"), &[]).unwrap();
        let keys = crate::auth::Keys::new(settings.config.api_keys);
        assert!(
            keys.identify("0123456789abcdef", before.parse().unwrap()).is_ok(),
            "{expires}"
        );
        assert!(
            keys.identify("0123456789abcdef", after.parse().unwrap()).is_err(),
            "{expires}"
        );
    }
}

#[test]
fn what_is_printed_can_be_read_and_holds_no_key() {
    let text = parse(GOOD, &[]).unwrap().to_toml();
    assert!(
        text.contains("(redacted)") && !text.contains("0123456789abcdef"),
        "{text}"
    );
    // Read back it lacks only the keys.
    let again = parse(&text.replace("(redacted)", "0123456789abcdef"), &[]).unwrap();
    assert_eq!(again.to_toml(), text);
}

#[test]
fn a_missing_file_is_named() {
    let message = Settings::load(Path::new("/nowhere/t.toml"), std::iter::empty())
        .unwrap_err()
        .to_string();
    assert!(message.starts_with("/nowhere/t.toml: cannot be read"), "{message}");
}

#[test]
fn guards_and_a_certificate_are_read_and_checked() {
    let settings = parse(
        &format!(
            "{GOOD}[guards]\nintrospection = false\nreads_per_second = 50\ncors_origins = [\"https://app.example\"]\n\
             [tls]\ncert = \"c.pem\"\n"
        ),
        &[("TOMBOLO_TLS_KEY", "/run/k.pem")],
    )
    .unwrap();
    let guards = &settings.config.guards;
    assert_eq!(
        (guards.introspection, guards.reads_per_second, guards.resolvers_max),
        (false, 50, 10_000)
    );
    let files = settings.config.tls.clone().unwrap();
    assert_eq!(
        (files.cert, files.key),
        ("/etc/tombolo/c.pem".into(), "/run/k.pem".into())
    );
    let printed = settings.to_toml();
    assert!(
        printed.contains("introspection = false") && printed.contains("k.pem"),
        "{printed}"
    );
    assert_eq!(parse(GOOD, &[]).unwrap().config.tls, None);

    for (text, says) in [
        ("[tls]\ncert = \"c.pem\"\n", "tls.key: is missing"),
        (
            "[mqtt]\ntls_listen = \"[::]:8883\"\n",
            "mqtt.tls_listen: needs a certificate",
        ),
        ("[mqtt]\nport = 1883\n", "unknown field `port`"),
        (
            "[mqtt.broker]\nurl = \"http://broker\"\n",
            "mqtt.broker.url: \"http\" is not mqtt, mqtts, ws or wss",
        ),
        (
            "[mqtt.broker]\nurl = \"mqtt://broker\"\npassword = \"p\"\n",
            "mqtt.broker.username: is missing",
        ),
        (
            "[mqtt.broker]\nurl = \"mqtt://broker\"\ngroup = \"a/b\"\n",
            "mqtt.broker.group: has no / + #",
        ),
        ("[mqtt.broker]\nhost = \"h\"\n", "unknown field `host`"),
        (
            "[mqtt.broker]\nurl = \"mqtts://broker\"\nca = \"/nowhere/ca.pem\"\n",
            "mqtt.broker.ca: /nowhere/ca.pem: ",
        ),
        ("[tls]\nkey = \"k.pem\"\n", "tls.cert: is missing"),
        ("[tls]\ncerts = \"c.pem\"\n", "unknown field `certs`"),
        ("[guards]\nquery_depth_max = 76\n", "guards.query_depth_max: is 76"),
        ("[guards]\nresolvers_max = 0\n", "guards.resolvers_max: is 0"),
        ("[guards]\nreads_burst = 0\n", "guards.reads_burst: is 0"),
        (
            "[guards]\ncors_origins = [\"app.example\"]\n",
            "guards.cors_origins: \"app.example\" is no origin",
        ),
        (
            "[guards]\nmutations_per_second = 1\n",
            "unknown field `mutations_per_second`",
        ),
    ] {
        let error = parse(&format!("{GOOD}{text}"), &[]).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn a_brokers_password_comes_from_the_environment_and_is_never_printed() {
    let file = format!("{GOOD}[mqtt.broker]\nurl = \"mqtts://broker\"\nusername = \"me\"\n");
    let variables = [
        ("TOMBOLO_MQTT_BROKER_PASSWORD", "hunter2"),
        ("TOMBOLO_MQTT_BROKER_GROUP", "g"),
    ];
    let settings = parse(&file, &variables).unwrap();
    let broker = settings.config.mqtt.broker.clone().unwrap();
    assert_eq!(broker.password.map(|secret| secret.0).as_deref(), Some("hunter2"));
    assert_eq!(
        (broker.group.as_str(), broker.client_id.as_str()),
        ("g", "tombolo-server")
    );
    let printed = settings.to_toml();
    assert!(
        printed.contains("mqtts://broker") && !printed.contains("hunter2"),
        "{printed}"
    );
    let alone = [
        ("TOMBOLO_MQTT_BROKER_GROUP", "g"),
        ("TOMBOLO_MQTT_BROKER_URL", "mqtt://b"),
        ("TOMBOLO_MQTT_BROKER_USERNAME", "u"),
    ];
    let broker = parse(GOOD, &alone).unwrap().config.mqtt.broker.unwrap();
    assert_eq!(
        (broker.url.as_str(), broker.group.as_str(), broker.username.as_deref()),
        ("mqtt://b", "g", Some("u"))
    );
    let lost = parse(GOOD, &[("TOMBOLO_MQTT_BROKER_PASSWORD", "p")])
        .unwrap_err()
        .to_string();
    assert!(lost.contains("is of no broker"), "{lost}");
}

/// A file with one of each.
const ALL: &str = r#"
schema = "s.graphql"
[auth]
default = "AMAZON_COGNITO_USER_POOLS"
iam_region = "eu-west-1"
[[issuers]]
issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc"
client_id = "app"
[[issuers]]
issuer = "https://id.example"
algorithms = ["RS256"]
iat_ttl_ms = 1000
[[iam]]
name = "backend"
access_key_id = "AKIAIOSFODNN7EXAMPLE"
secret_access_key = "wJalrXUtnFEMIsecret"
role = "admin"
allow = ["Query.*", "Mutation.createTodo"]
[authorizer]
url = "http://127.0.0.1:9/"
header = "x: another secret"
"#;

#[test]
fn every_mode_can_be_opened_without_a_key() {
    let config = parse(ALL, &[]).unwrap().config;
    assert!(config.api_keys.is_empty());
    assert_eq!(config.default_auth, AuthMode::UserPools);
    let modes = config.auth.modes().unwrap();
    let all_but_keys = AuthMode::ALL
        .into_iter()
        .filter(|mode| *mode != AuthMode::ApiKey)
        .collect();
    assert_eq!(modes, all_but_keys);
    assert_eq!(
        config.auth.iam[0].secret_access_key,
        Secret("wJalrXUtnFEMIsecret".into())
    );
}

#[test]
fn the_default_mode_is_the_first_that_is_open() {
    let issuer = "[[issuers]]\nissuer = \"https://id.example\"\n";
    let authorizer = "[authorizer]\nurl = \"http://h/\"\n";
    let bare = "schema = \"s.graphql\"\n";
    for (text, environment, mode) in [
        (GOOD.to_owned(), &[][..], AuthMode::ApiKey),
        (format!("{GOOD}{issuer}"), &[], AuthMode::ApiKey),
        (format!("{bare}{issuer}{authorizer}"), &[], AuthMode::Oidc),
        (format!("{bare}{authorizer}"), &[], AuthMode::Function),
        (
            format!("{GOOD}{issuer}[auth]\ndefault = \"OPENID_CONNECT\"\n"),
            &[],
            AuthMode::Oidc,
        ),
        (
            format!("{GOOD}{issuer}"),
            &[("TOMBOLO_AUTH_DEFAULT", "OPENID_CONNECT")],
            AuthMode::Oidc,
        ),
        (
            bare.to_owned(),
            &[("TOMBOLO_AUTHORIZER_URL", "http://h/")],
            AuthMode::Function,
        ),
    ] {
        assert_eq!(parse(&text, environment).unwrap().config.default_auth, mode, "{text}");
    }
}

#[test]
fn a_secret_may_be_kept_elsewhere() {
    let without = ALL.replace("secret_access_key = \"wJalrXUtnFEMIsecret\"\n", "@");
    let by_variable = without.replace('@', "secret_access_key_env = \"TOMBOLO_BACKEND_SECRET\"\n");
    let settings = parse(&by_variable, &[("TOMBOLO_BACKEND_SECRET", "of the environment")]).unwrap();
    let secret = |settings: &Settings| settings.config.auth.iam[0].secret_access_key.0.clone();
    assert_eq!(secret(&settings), "of the environment");
    assert!(settings.unknown_variables.is_empty(), "it is known by being named");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "of the file, sixteen\n").unwrap();
    let by_file = without.replace('@', &format!("secret_access_key_file = {file:?}\n"));
    assert_eq!(secret(&parse(&by_file, &[]).unwrap()), "of the file, sixteen");
    for (place, says) in [
        ("", "IAM user \"backend\" has no secret"),
        (
            "secret_access_key_env = \"NO\"\n",
            "the variable NO of secret_access_key_env is not set",
        ),
        (
            "secret_access_key_file = \"/nowhere/x\"\n",
            "secret_access_key_file /nowhere/x: ",
        ),
        ("secret_access_key = \"short\"\n", "fewer than 16 characters"),
        (
            "secret_access_key = \"wJalrXUtnFEMIsecret\"\nsecret_access_key_env = \"A\"\n",
            "in several places",
        ),
    ] {
        let message = parse(&without.replace('@', place), &[]).unwrap_err().to_string();
        assert!(message.contains("t.toml:13:1: ") && message.contains(says), "{message}");
        assert!(!message.contains("wJalrXUtnFEMIsecret"), "{message}");
    }
}

#[test]
fn who_may_call_is_refused_by_place_when_it_cannot_be() {
    for (from, to, says) in [
        (
            "AMAZON_COGNITO_USER_POOLS",
            "API_KEY",
            "t.toml: auth.default: API_KEY is the default and nobody may call by it",
        ),
        (
            "AMAZON_COGNITO_USER_POOLS",
            "COGNITO",
            "auth.default: \"COGNITO\" is no mode; there are API_KEY, AWS_IAM",
        ),
        (
            "https://id.example",
            "http://id.example",
            "issuer \"http://id.example\": its keys would come over http",
        ),
        (
            "client_id = \"app\"",
            "client_id = \"(\"",
            "client_id is no regular expression",
        ),
        ("client_id = ", "clientId = ", "unknown field `clientId`"),
        ("\"RS256\"", "\"HS256\"", "unknown variant `HS256`"),
        ("\"RS256\"", "\"none\"", "unknown variant `none`"),
        ("\"admin\"", "\"root\"", "unknown variant `root`"),
        ("\"Query.*\", \"Mutation.createTodo\"", "", "may call nothing"),
        ("Query.*", "Todo.title", "\"Todo.title\" in allow is neither"),
        ("AKIAIOSFODNN7EXAMPLE", "a/b", "access_key_id is letters and digits"),
        ("http://127.0.0.1:9/", "ftp://x", "authorizer: url"),
        ("url = \"http://127.0.0.1:9/\"", "", "authorizer: it has no url"),
    ] {
        let text = ALL.replacen(from, to, 1);
        assert_ne!(text, ALL, "{from}");
        let message = parse(&text, &[]).expect_err(to).to_string();
        assert!(message.contains(says), "{to}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
    let twice = format!(
        "{ALL}{}",
        &ALL[ALL.find("[[iam]]").unwrap()..ALL.find("[authorizer]").unwrap()]
    );
    let message = parse(&twice, &[]).unwrap_err().to_string();
    assert!(message.contains("two IAM users are called"), "{message}");
}

#[test]
fn no_secret_of_any_mode_is_printed() {
    let settings = parse(ALL, &[("TOMBOLO_API_KEY", "0123456789abcdef")]).unwrap();
    let (text, debug) = (settings.to_toml(), format!("{settings:?}"));
    for secret in ["wJalrXUtnFEMIsecret", "another secret", "0123456789abcdef"] {
        assert!(!text.contains(secret) && !debug.contains(secret), "{text}");
    }
    let again = parse(&text.replace("(redacted)", "x: 0123456789abcdef"), &[]).unwrap();
    assert_eq!(again.to_toml(), text, "read back it lacks only the secrets");
}
