//! Answers and errors over HTTP as AppSync gives them, letter by letter where its clients or its documentation quote them.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tombolo_server::config::Database;
use tombolo_server::{Config, Running, Server};

use crate::harness::{KEY, Reply, SCHEMA, exchange, patiently, request, start};

const JSON: (&str, &str) = ("content-type", "application/json");
const AUTH: (&str, &str) = ("x-api-key", KEY);

async fn post(server: &Running, body: &str) -> Reply {
    exchange(server.addr, &request("POST", "/graphql", &[AUTH, JSON], body)).await
}

async fn ask(server: &Running, query: &str, variables: Json) -> Json {
    let reply = post(server, &json!({"query": query, "variables": variables}).to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("x-amzn-errortype"), None, "{reply:?}");
    reply.json()
}

/// An error of a field, with every key that AppSync gives it.
fn of_field(field: &str, column: usize, error_type: &str, message: &str, data: Json) -> Json {
    json!({
        "path": [field],
        "data": data,
        "errorType": error_type,
        "errorInfo": null,
        "locations": [{"line": 1, "column": column, "sourceName": null}],
        "message": message,
    })
}

const CREATE: &str = "mutation operation($input: CreateTodoInput!) { createTodo(input: $input) { id title } }";
const UPDATE: &str = "mutation operation($input: UpdateTodoInput!, $condition: ModelTodoConditionInput) { \
                      updateTodo(input: $input, condition: $condition) { __typename id title done _version _deleted } }";
const DELETE: &str =
    "mutation operation($input: DeleteTodoInput!) { deleteTodo(input: $input) { id other: title _version } }";

#[tokio::test]
async fn a_conflict_is_one_error_with_the_record_as_the_mutation_selected_it() {
    let server = start().await;
    ask(&server, CREATE, json!({"input": {"id": "1", "title": "one"}})).await;
    let updated = ask(
        &server,
        UPDATE,
        json!({"input": {"id": "1", "title": "two", "_version": 1}, "condition": null}),
    )
    .await;
    assert_eq!(
        updated,
        json!({"data": {"updateTodo": {
            "__typename": "Todo", "id": "1", "title": "two", "done": null, "_version": 2, "_deleted": null}}})
    );
    let message = "Conflict resolver rejects mutation.";
    let column = DELETE.find("deleteTodo(").unwrap() + 1;
    let stored = json!({"id": "1", "other": "two", "_version": 2});
    for version in [json!(1), json!(3), json!(0)] {
        let conflict = ask(&server, DELETE, json!({"input": {"id": "1", "_version": version}})).await;
        let error = of_field("deleteTodo", column, "ConflictUnhandled", message, stored.clone());
        assert_eq!(
            conflict,
            json!({"data": {"deleteTodo": null}, "errors": [error]}),
            "{version}"
        );
    }
    let deleted = ask(&server, DELETE, json!({"input": {"id": "1", "_version": 2}})).await;
    assert_eq!(
        deleted,
        json!({"data": {"deleteTodo": {"id": "1", "other": "two", "_version": 3}}})
    );
    // What comes too late is told of the tombstone.
    let late = ask(
        &server,
        UPDATE,
        json!({"input": {"id": "1", "title": "three", "_version": 2}}),
    )
    .await;
    assert_eq!(
        late["errors"][0]["data"],
        json!({"__typename": "Todo", "id": "1", "title": "two", "done": null, "_version": 3, "_deleted": true})
    );
    assert_eq!(
        (&late["data"], &late["errors"][0]["errorType"]),
        (&json!({"updateTodo": null}), &json!("ConflictUnhandled"))
    );
}

#[tokio::test]
async fn a_condition_that_fails_is_told_by_name_without_data() {
    let server = start().await;
    ask(&server, CREATE, json!({"input": {"id": "1", "title": "one"}})).await;
    let condition = json!({"title": {"eq": "nine"}});
    for (query, field, variables) in [
        (CREATE, "createTodo", json!({"input": {"id": "1", "title": "again"}})),
        (
            UPDATE,
            "updateTodo",
            json!({"input": {"id": "1", "title": "two", "_version": 1}, "condition": condition}),
        ),
        (
            UPDATE,
            "updateTodo",
            json!({"input": {"id": "nowhere", "title": "two", "_version": 1}}),
        ),
    ] {
        let answer = ask(&server, query, variables).await;
        let message = answer["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("The conditional request failed"), "{message}");
        let column = query.find(&format!("{field}(")).unwrap() + 1;
        let error = of_field(field, column, "ConditionalCheckFailedException", &message, Json::Null);
        assert_eq!(answer, json!({"data": {field: null}, "errors": [error]}));
    }
}

#[tokio::test]
async fn what_the_rules_refuse_is_told_by_field() {
    let server = start().await;
    let answer = ask(&server, "{ getDiary(id: \"1\") { text } }", Json::Null).await;
    let error = of_field(
        "getDiary",
        3,
        "Unauthorized",
        "Not Authorized to access getDiary on type Query",
        Json::Null,
    );
    assert_eq!(answer, json!({"data": {"getDiary": null}, "errors": [error]}));
}

#[tokio::test]
async fn an_invalid_operation_is_told_in_appsyncs_words_without_a_type() {
    let server = start().await;
    let place = |line: usize, column: usize| json!([{"line": line, "column": column, "sourceName": null}]);
    let error = |message: &str, locations: Json| json!({"path": null, "locations": locations, "message": message});
    let unknown = |field: &str| {
        let message = format!(
            "The variables input contains a field name '{field}' that is not defined for input object type 'CreateTodoInput'"
        );
        error(&message, Json::Null)
    };
    let table = [
        (
            "a field that is not there",
            "{ x }",
            Json::Null,
            vec![error(
                "Validation error of type FieldUndefined: Field 'x' in type 'Query' is undefined @ 'x'",
                place(1, 3),
            )],
        ),
        (
            "one deeper down, twice, beside an alias",
            "query operation {\n  all: listTodos {\n    items { x }\n    y\n  }\n}",
            Json::Null,
            vec![
                error(
                    "Validation error of type FieldUndefined: Field 'x' in type 'Todo' is undefined @ 'listTodos/items/x'",
                    place(3, 13),
                ),
                error(
                    "Validation error of type FieldUndefined: Field 'y' in type 'ModelTodoConnection' is undefined @ 'listTodos/y'",
                    place(4, 5),
                ),
            ],
        ),
        (
            "an argument that is not there",
            "{ listTodos(where: 1) { nextToken } }",
            Json::Null,
            vec![error(
                "Validation error of type UnknownArgument: Unknown field argument where @ 'listTodos'",
                place(1, 13),
            )],
        ),
        (
            "input fields that are not there",
            CREATE,
            json!({"input": {"title": "t", "x": 1, "y": null}}),
            vec![unknown("x"), unknown("y")],
        ),
        (
            "a variable that is missing",
            CREATE,
            json!({}),
            vec![error(
                "Variable 'input' has coerced Null value for NonNull type 'CreateTodoInput!'",
                place(1, 20),
            )],
        ),
        (
            "a variable that is null",
            CREATE,
            json!({"input": null}),
            vec![error(
                "Variable 'input' has coerced Null value for NonNull type 'CreateTodoInput!'",
                place(1, 20),
            )],
        ),
    ];
    for (name, query, variables, errors) in table {
        let answer = ask(&server, query, variables).await;
        assert_eq!(answer, json!({"data": null, "errors": errors}), "{name}");
    }
    // One of our own replicas is told by name.
    let body = json!({"query": "{ x }", "extensions": {"tombolo": {"replica": "r"}}}).to_string();
    assert_eq!(post(&server, &body).await.error_type(), "BadRequest");
}

#[tokio::test]
async fn what_is_no_request_gets_appsyncs_body_and_name() {
    let server = start().await;
    let malformed = "MalformedHttpRequestException";
    for (name, body, error) in [
        (
            "empty",
            "",
            json!({"errorType": malformed, "message": "Request body is empty."}),
        ),
        (
            "no GraphQL",
            r#"{"query":"{"}"#,
            json!({"errorType": malformed, "message": "Unable to parse GraphQL query."}),
        ),
        (
            "an empty document",
            r#"{"query":""}"#,
            json!({"errorType": malformed, "message": "Unable to parse GraphQL query."}),
        ),
    ] {
        let reply = post(&server, body).await;
        assert_eq!(
            (reply.status, reply.header("x-amzn-errortype")),
            (400, Some(malformed)),
            "{name}"
        );
        let mut told = reply.json();
        // What the parser says is for people.
        told["errors"][0].as_object_mut().unwrap().remove("errorInfo");
        assert_eq!(told, json!({"errors": [error]}), "{name}");
    }
    for (name, headers, message) in [
        ("nothing shown", vec![JSON], None),
        (
            "a wrong key",
            vec![JSON, ("x-api-key", "wrong")],
            Some("You are not authorized to make this call."),
        ),
    ] {
        let reply = exchange(
            server.addr,
            &request("POST", "/graphql", &headers, r#"{"query":"{__typename}"}"#),
        )
        .await;
        let name_in_header = reply.header("x-amzn-errortype");
        assert_eq!(
            (reply.status, name_in_header),
            (401, Some("UnauthorizedException")),
            "{name}"
        );
        let body = reply.json();
        let error = body["errors"][0].as_object().unwrap();
        assert_eq!(error.keys().collect::<Vec<_>>(), ["errorType", "message"], "{name}");
        assert_eq!(error["errorType"], "UnauthorizedException", "{name}");
        if let Some(message) = message {
            assert_eq!(error["message"], message, "{name}");
        }
    }
}

#[tokio::test]
async fn every_clients_form_of_a_request_is_read() {
    let server = start().await;
    let list = "query operation($limit: Int, $filter: ModelTodoFilterInput) { listTodos(limit: $limit, filter: $filter) { items { id } nextToken } }";
    let expected = json!({"data": {"listTodos": {"items": [], "nextToken": null}}});
    for body in [
        json!({"query": list, "variables": {"limit": 10, "filter": null}}),
        json!({"query": list}),
        json!({"query": list, "variables": null}),
        json!({"operationName": "operation", "variables": {}, "query": list}),
        json!({"operationName": null, "variables": {}, "query": list, "extensions": null}),
    ] {
        let reply = post(&server, &body.to_string()).await;
        assert_eq!((reply.status, reply.json()), (200, expected.clone()), "{body}");
    }
    let query = "query=query%20operation%20%7B%20listTodos%20%7B%20items%20%7B%20id%20%7D%20nextToken%20%7D%20%7D";
    for more in ["", "&variables=null", "&variables=%7B%7D&operationName=operation"] {
        let get = request("GET", &format!("/graphql?{query}{more}"), &[AUTH], "");
        let reply = exchange(server.addr, &get).await;
        assert_eq!((reply.status, reply.json()), (200, expected.clone()), "{more}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_that_the_store_cannot_take_for_now_is_held_and_not_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.sqlite");
    let config = Config {
        database: Database::File(file.clone()),
        ..Config::in_memory(SCHEMA, KEY)
    };
    let server = Server::start(config).await.unwrap();
    let addr = server.addr;
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let held = tokio::spawn(async move {
        let body = json!({"query": CREATE, "variables": {"input": {"title": "held"}}}).to_string();
        exchange(addr, &request("POST", "/graphql", &[AUTH, JSON], &body)).await
    });
    // Until the store has given up once.
    patiently(async {
        loop {
            let ready = exchange(addr, &request("GET", "/readyz", &[], "")).await;
            if ready.json()["status"] == "cannot write" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(!held.is_finished());
    other.execute_batch("COMMIT").unwrap();
    let reply = patiently(held).await.unwrap();
    assert_eq!(
        (reply.status, &reply.json()["data"]["createTodo"]["title"]),
        (200, &json!("held")),
        "{reply:?}"
    );
    assert_eq!(crate::harness::titles(addr).await, ["held"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_that_comes_while_the_server_starts_waits_for_it() {
    let waiting = tokio::sync::oneshot::channel();
    let (send, mut asked) = waiting;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let config = Config {
        listen: addr.to_string(),
        ..Config::in_memory(SCHEMA, KEY)
    };
    let server = Server::start_with(config, async |_| {
        let request = tokio::spawn(async move {
            let body = json!({"query": CREATE, "variables": {"input": {"title": "early"}}}).to_string();
            exchange(addr, &request("POST", "/graphql", &[AUTH, JSON], &body)).await
        });
        // It is on its way, and has not been answered.
        let starting = exchange(addr, &self::request("GET", "/readyz", &[], "")).await;
        assert_eq!(starting.json(), json!({"status": "starting"}));
        let _kept = send.send(request);
        Ok(())
    })
    .await
    .unwrap();
    let reply = patiently(asked.try_recv().unwrap()).await.unwrap();
    assert_eq!(
        (reply.status, &reply.json()["data"]["createTodo"]["title"]),
        (200, &json!("early")),
        "{reply:?}"
    );
    drop(server);
}
