//! JSON variables of documents that are known to be good.

use serde_json::Value as Json;
use tombolo_core::wire::graphql::Request;

use crate::server;

const DOCUMENTS: &[&str] = &[
    "mutation($i: CreateTodoInput!, $c: ModelTodoConditionInput) { createTodo(input: $i, condition: $c) { id title spot { x } _version } }",
    "mutation($i: UpdateTodoInput!, $c: ModelTodoConditionInput) { updateTodo(input: $i, condition: $c) { id rank tags _version _deleted } }",
    "mutation($i: DeleteTodoInput!, $c: ModelTodoConditionInput) { deleteTodo(input: $i, condition: $c) { id _deleted } }",
    "query($f: ModelTodoFilterInput, $l: Int, $t: String) { listTodos(filter: $f, limit: $l, nextToken: $t) { items { id at } nextToken } }",
    "query($l: ID!, $r: ModelIntKeyConditionInput, $d: ModelSortDirection, $f: ModelTodoFilterInput) { todosByList(list: $l, rank: $r, sortDirection: $d, filter: $f) { items { id } nextToken } }",
    "query($o: ID, $n: ModelIntKeyConditionInput, $d: ModelSortDirection) { listLines(order: $o, number: $n, sortDirection: $d) { items { text of { title } } } }",
    "query($id: ID!, $l: Int, $f: ModelLineFilterInput) { getTodo(id: $id) { lines(limit: $l, filter: $f) { items { text } nextToken } } }",
    "query($s: TomboloScopeInput!, $l: Int) { tomboloChanges(scope: $s, limit: $l) { model cursor upToDate reset fields rows left } }",
    "subscription($s: [TomboloScopeInput!]!) { tomboloChanges(scopes: $s) { model cursor upToDate rows left } }",
    "query($f: ModelTodoFilterInput, $l: Int, $t: String, $s: AWSTimestamp) { syncTodos(filter: $f, limit: $l, nextToken: $t, lastSync: $s) { items { id _deleted } nextToken startedAt } }",
    "mutation($i: UpdateNewestInput!) { updateNewest(input: $i) { id items _version } }",
    "mutation($i: UpdateTallyInput!) { updateTally(input: $i) { id hits share marks best first word fixed _version } }",
    "mutation($i: UpdateLineInput!) { updateLine(input: $i) { order number text _version } }",
];

/// The first byte chooses a document, the others are its variables.
pub fn run(data: &[u8]) {
    let Some((which, data)) = data.split_first() else {
        return;
    };
    let Ok(Json::Object(variables)) = serde_json::from_slice(data) else {
        return;
    };
    let request = Request {
        query: DOCUMENTS[usize::from(*which) % DOCUMENTS.len()].to_owned(),
        variables: Some(variables),
        ..Request::default()
    };
    server::with(|server| server.ask(&request));
}
