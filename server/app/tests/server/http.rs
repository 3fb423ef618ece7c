//! GraphQL over HTTP: statuses, media types, refusals.

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{KEY, Reply, ask, create, exchange, patiently, request, start, start_with, titles};

const JSON: (&str, &str) = ("content-type", "application/json");
const AUTH: (&str, &str) = ("x-api-key", KEY);

fn query(text: &str) -> String {
    json!({ "query": text }).to_string()
}

#[tokio::test]
async fn a_record_is_created_and_read_back() {
    let server = start().await;
    let created = ask(
        server.addr,
        "mutation($input: CreateTodoInput!) { createTodo(input: $input) { id title done _version _deleted } }",
        json!({"input": {"title": "sand", "done": false}}),
    )
    .await;
    let todo = &created["data"]["createTodo"];
    assert_eq!(
        (&todo["title"], &todo["_version"]),
        (&json!("sand"), &json!(1)),
        "{created}"
    );
    let read = ask(
        server.addr,
        "query($id: ID!) { getTodo(id: $id) { title done } }",
        json!({"id": todo["id"]}),
    )
    .await;
    assert_eq!(read, json!({"data": {"getTodo": {"title": "sand", "done": false}}}));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_its_status_and_name() {
    let server = start_with(|limits| limits.body_bytes_max = 1000).await;
    let ok = query("{ __typename }");
    let large = query(&format!("{{ __typename }} #{}", "x".repeat(1000)));
    let get = |q: &str| format!("/graphql?{q}");
    let malformed = "MalformedHttpRequestException";
    /// What it is, method, path, headers, body; status and error type.
    type Case<'a> = (
        &'a str,
        &'a str,
        String,
        &'a [(&'a str, &'a str)],
        &'a str,
        u16,
        &'a str,
    );
    let table: Vec<Case<'_>> = vec![
        ("fine", "POST", "/graphql".into(), &[AUTH, JSON], &ok, 200, "none"),
        (
            "fine with a charset",
            "POST",
            "/graphql".into(),
            &[AUTH, ("content-type", "application/json; charset=UTF-8")],
            &ok,
            200,
            "none",
        ),
        (
            "fine by GET",
            "GET",
            get("query=%7B__typename%7D"),
            &[AUTH],
            "",
            200,
            "none",
        ),
        (
            "no key",
            "POST",
            "/graphql".into(),
            &[JSON],
            &ok,
            401,
            "UnauthorizedException",
        ),
        (
            "no key by GET",
            "GET",
            get("query=%7B__typename%7D"),
            &[],
            "",
            401,
            "UnauthorizedException",
        ),
        (
            "a wrong key",
            "POST",
            "/graphql".into(),
            &[("x-api-key", "wrong"), JSON],
            &ok,
            401,
            "UnauthorizedException",
        ),
        (
            "a key of foreign bytes",
            "POST",
            "/graphql".into(),
            &[("x-api-key", "schlüssel"), JSON],
            &ok,
            401,
            "UnauthorizedException",
        ),
        ("no body", "POST", "/graphql".into(), &[AUTH, JSON], "", 400, malformed),
        ("no JSON", "POST", "/graphql".into(), &[AUTH, JSON], "{", 400, malformed),
        (
            "a batch",
            "POST",
            "/graphql".into(),
            &[AUTH, JSON],
            "[]",
            400,
            malformed,
        ),
        (
            "JSON of another kind",
            "POST",
            "/graphql".into(),
            &[AUTH, JSON],
            "1",
            400,
            malformed,
        ),
        (
            "no query",
            "POST",
            "/graphql".into(),
            &[AUTH, JSON],
            "{}",
            400,
            malformed,
        ),
        (
            "a query that is no string",
            "POST",
            "/graphql".into(),
            &[AUTH, JSON],
            r#"{"query":{}}"#,
            400,
            malformed,
        ),
        (
            "variables that are no object",
            "POST",
            "/graphql".into(),
            &[AUTH, JSON],
            r#"{"query":"{__typename}","variables":[]}"#,
            400,
            malformed,
        ),
        (
            "an operation name that is no string",
            "POST",
            "/graphql".into(),
            &[AUTH, JSON],
            r#"{"query":"{__typename}","operationName":1}"#,
            400,
            malformed,
        ),
        (
            "extensions that are no object",
            "POST",
            "/graphql".into(),
            &[AUTH, JSON],
            r#"{"query":"{__typename}","extensions":1}"#,
            400,
            malformed,
        ),
        (
            "no content type",
            "POST",
            "/graphql".into(),
            &[AUTH],
            &ok,
            415,
            "BadRequest",
        ),
        (
            "a form",
            "POST",
            "/graphql".into(),
            &[AUTH, ("content-type", "application/x-www-form-urlencoded")],
            "query=1",
            415,
            "BadRequest",
        ),
        (
            "UTF-16",
            "POST",
            "/graphql".into(),
            &[AUTH, ("content-type", "application/json; charset=utf-16")],
            &ok,
            415,
            "BadRequest",
        ),
        (
            "a compressed body",
            "POST",
            "/graphql".into(),
            &[AUTH, JSON, ("content-encoding", "gzip")],
            &ok,
            415,
            "BadRequest",
        ),
        (
            "an over-large body",
            "POST",
            "/graphql".into(),
            &[AUTH, JSON],
            &large,
            413,
            "LimitExceeded",
        ),
        (
            "nothing we can answer in",
            "POST",
            "/graphql".into(),
            &[AUTH, JSON, ("accept", "text/html")],
            &ok,
            406,
            "BadRequest",
        ),
        (
            "a subscription",
            "POST",
            "/graphql".into(),
            &[AUTH, JSON],
            r#"{"query":"subscription { onCreateTodo { id } }"}"#,
            400,
            "UnsupportedOperation",
        ),
        (
            "GET without a query",
            "GET",
            "/graphql".into(),
            &[AUTH],
            "",
            400,
            malformed,
        ),
        (
            "GET with wrong variables",
            "GET",
            get("query=%7B__typename%7D&variables=%5B%5D"),
            &[AUTH],
            "",
            400,
            malformed,
        ),
        (
            "GET with wrong extensions",
            "GET",
            get("query=%7B__typename%7D&extensions=x"),
            &[AUTH],
            "",
            400,
            malformed,
        ),
        (
            "a mutation by GET",
            "GET",
            get("query=mutation%7BcreateTodo(input:%7Btitle:%22x%22%7D)%7Bid%7D%7D"),
            &[AUTH],
            "",
            405,
            "BadRequest",
        ),
        ("PUT", "PUT", "/graphql".into(), &[AUTH, JSON], &ok, 405, "BadRequest"),
        ("DELETE", "DELETE", "/graphql".into(), &[AUTH], "", 405, "BadRequest"),
        ("another path", "GET", "/graphiql".into(), &[], "", 404, "BadRequest"),
    ];
    for (name, method, path, headers, body, status, error_type) in table {
        let reply = exchange(server.addr, &request(method, &path, headers, body)).await;
        assert_eq!(
            (reply.status, reply.error_type().as_str()),
            (status, error_type),
            "{name}: {reply:?}"
        );
        assert!(
            reply.header("x-amzn-requestid").is_some_and(|id| id.len() == 36),
            "{name}: {reply:?}"
        );
        if status != 200 {
            assert_eq!(reply.header("x-amzn-errortype"), Some(error_type), "{name}");
            assert!(
                !reply.json()["errors"][0]["message"].as_str().unwrap().is_empty(),
                "{name}"
            );
        }
        if status == 405 {
            assert!(reply.header("allow").is_some(), "{name}");
        }
    }
    assert!(titles(server.addr).await.is_empty(), "a GET created something");
}

#[tokio::test]
async fn an_invalid_operation_is_answered_as_the_client_asked() {
    let server = start().await;
    for document in ["{ nothing }", "{ getTodo { id } }"] {
        for (accept, status, media, data) in [
            (
                "application/json",
                200,
                "application/json; charset=utf-8",
                Some(&Json::Null),
            ),
            ("*/*", 200, "application/json; charset=utf-8", Some(&Json::Null)),
            (
                "application/graphql-response+json",
                400,
                "application/graphql-response+json; charset=utf-8",
                None,
            ),
        ] {
            let headers = [AUTH, JSON, ("accept", accept)];
            let reply = exchange(server.addr, &request("POST", "/graphql", &headers, &query(document))).await;
            let body = reply.json();
            assert_eq!(
                (reply.status, reply.header("content-type")),
                (status, Some(media)),
                "{document}: {body}"
            );
            assert_eq!(body.get("data"), data, "{document}: {body}");
            assert!(body["errors"][0]["message"].is_string(), "{document}: {body}");
        }
    }
}

#[tokio::test]
async fn what_the_rules_refuse_is_an_error_of_its_field() {
    let server = start().await;
    let body = query("{ getDiary(id: \"1\") { text } }");
    let reply = exchange(server.addr, &request("POST", "/graphql", &[AUTH, JSON], &body)).await;
    assert_eq!(
        (reply.status, reply.error_type().as_str()),
        (200, "Unauthorized"),
        "{}",
        reply.json()
    );
    assert_eq!(reply.json()["data"]["getDiary"], Json::Null);
}

#[tokio::test]
async fn a_body_that_grows_past_the_limit_without_saying_so_is_cut_off() {
    let server = start_with(|limits| limits.body_bytes_max = 1000).await;
    let head = "POST /graphql HTTP/1.1\r\nhost: t\r\nconnection: close\r\nx-api-key: a key for tests\r\n\
                content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("1f4\r\n{}\r\n", " ".repeat(500));
    let reply = exchange(server.addr, format!("{head}{}", chunk.repeat(3)).as_bytes()).await;
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn a_dawdler_is_not_waited_for() {
    let server = start_with(|limits| {
        limits.header_read_timeout_ms = 50;
        limits.body_read_timeout_ms = 50;
    })
    .await;
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    silent.write_all(b"POST /graphql HTTP/1.1\r\nhost:").await.unwrap();
    let mut rest = Vec::new();
    // Closed, with or without words.
    let _ = patiently(silent.read_to_end(&mut rest)).await;

    let head = "POST /graphql HTTP/1.1\r\nhost: t\r\nconnection: close\r\nx-api-key: a key for tests\r\n\
                content-type: application/json\r\ncontent-length: 10\r\n\r\n{";
    assert_eq!(exchange(server.addr, head.as_bytes()).await.status, 408);
}

#[tokio::test]
async fn a_connection_above_the_limit_waits_for_a_place() {
    let server = start_with(|limits| limits.connections_max = 1).await;
    let holder = TcpStream::connect(server.addr).await.unwrap();
    let addr = server.addr;
    let waiting = tokio::spawn(async move { titles(addr).await });
    tokio::task::yield_now().await;
    drop(holder);
    assert!(patiently(waiting).await.unwrap().is_empty());
}

#[tokio::test]
async fn browsers_may_call_and_read_the_error_headers() {
    let server = start().await;
    let headers = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "content-type,x-amz-user-agent,x-api-key,x-mine",
        ),
    ];
    let preflight = exchange(server.addr, &request("OPTIONS", "/graphql", &headers, "")).await;
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        Some("content-type,x-amz-user-agent,x-api-key,x-mine")
    );
    let refused = exchange(
        server.addr,
        &request("POST", "/graphql", &[JSON, ("origin", "https://app.example")], "{}"),
    )
    .await;
    assert_eq!(refused.status, 401);
    let exposed = refused
        .header("access-control-expose-headers")
        .unwrap()
        .to_ascii_lowercase();
    assert!(
        exposed.contains("x-amzn-errortype") && exposed.contains("x-amzn-requestid"),
        "{exposed}"
    );
}

#[tokio::test]
async fn large_answers_are_compressed_for_who_asks() {
    let server = start().await;
    let body = query("{ __schema { types { name kind description fields { name } } } }");
    let plain = exchange(server.addr, &request("POST", "/graphql", &[AUTH, JSON], &body)).await;
    let small = exchange(
        server.addr,
        &request("POST", "/graphql", &[AUTH, JSON, ("accept-encoding", "gzip")], &body),
    )
    .await;
    assert_eq!(
        (plain.header("content-encoding"), small.header("content-encoding")),
        (None, Some("gzip"))
    );
    assert!(
        small.body.len() < plain.body.len() / 2,
        "{} of {}",
        small.body.len(),
        plain.body.len()
    );
}

#[tokio::test]
async fn what_it_is_and_how_it_is_can_be_asked() {
    let server = start().await;
    let get = async |path: &str| -> Reply { exchange(server.addr, &request("GET", path, &[], "")).await };
    assert_eq!(get("/healthz").await.json(), json!({"status": "ok"}));
    assert_eq!(get("/readyz").await.json(), json!({"status": "ready"}));
    let about = get("/").await;
    assert!(String::from_utf8_lossy(&about.body).contains("/graphql"), "{about:?}");
}

#[tokio::test]
async fn many_writers_at_once_are_all_answered() {
    let server = start().await;
    let addr = server.addr;
    let all: Vec<_> = (0..50)
        .map(|i| tokio::spawn(async move { ask(addr, &create(&format!("{i:02}")), Json::Null).await }))
        .collect();
    for one in all {
        let answer = patiently(one).await.unwrap();
        assert_eq!(answer["data"]["createTodo"]["_version"], 1, "{answer}");
    }
    let mut titles = titles(addr).await;
    titles.sort();
    assert_eq!(titles, (0..50).map(|i| format!("{i:02}")).collect::<Vec<_>>());
}
