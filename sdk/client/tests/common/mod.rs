//! A server small enough to be read at a glance, in this process: it keeps rows with versions and positions, remembers
//! outcomes, serves the change feed by page and by subscription, and can be told to misbehave.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use serde_json::{Map, Value as Json, json};
use tokio::sync::watch;
use tombolo::transport::loopback::{self, Results, Served};
use tombolo::transport::{BoxFuture, CloseReason, Credential, Link, Transport};
use tombolo::{Client, Schema};
use tombolo_core::wire::graphql::Request;

pub const SCHEMA: &str = "
    type Note @model { id: ID! text: String! author: String stars: Int done: Boolean @default(value: \"false\") }
    type Tag @model { id: ID! name: String! }
";

/// How long a test waits for what must come; far beyond what it takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub struct Server {
    state: Arc<Mutex<State>>,
    head: watch::Sender<u64>,
    schema: Arc<Schema>,
    served: Option<Served>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<String, BTreeMap<String, Row>>,
    outcomes: BTreeMap<(String, u64), Json>,
    position: u64,
    behaviour: Behaviour,
    applied: u64,
}

#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Answers at all.
    pub reachable: bool,
    /// Gives sockets; HTTP works either way.
    pub sockets: bool,
    /// HTTP works.
    pub http: bool,
    /// The one key that is let in.
    pub key: String,
    /// Refuses mutations that set `text` to this.
    pub reject_text: Option<String>,
    /// Carries out this many mutations without the answer getting through: the link is cut instead.
    pub lose_answers: u32,
    /// Answers this many mutations without deciding.
    pub undecided: u32,
    /// Rows in a page.
    pub page_rows: usize,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            reachable: true,
            sockets: true,
            http: true,
            key: "dev-key".into(),
            reject_text: None,
            lose_answers: 0,
            undecided: 0,
            page_rows: 10,
        }
    }
}

#[derive(Clone, Debug)]
struct Row {
    values: Map<String, Json>,
    version: u64,
    deleted: bool,
    position: u64,
}

impl Server {
    pub fn new() -> Self {
        Self::with(SCHEMA)
    }

    pub fn with(sdl: &str) -> Self {
        let mut server = Self {
            state: Arc::default(),
            head: watch::Sender::new(0),
            schema: Arc::new(Schema::parse(sdl, "schema.graphql").unwrap()),
            served: None,
        };
        let handler = server.clone();
        server.served = Some(loopback::serve(move |credential, request| {
            handler.answer(credential, request)
        }));
        server
    }

    pub fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state.lock().unwrap().behaviour);
    }

    /// How many mutations took effect.
    pub fn applied(&self) -> u64 {
        self.state.lock().unwrap().applied
    }

    /// One field of a record.
    pub fn field(&self, model: &str, id: &str, field: &str) -> Option<Json> {
        let state = self.state.lock().unwrap();
        let row = state.rows.get(model)?.get(id)?;
        row.values.get(field).filter(|_| !row.deleted).cloned()
    }

    /// Writes a record as somebody else.
    pub fn write(&self, model: &str, values: Json) {
        let Json::Object(values) = values else { panic!() };
        let mut state = self.state.lock().unwrap();
        state.write(model, values, false);
        self.head.send_replace(state.position);
    }

    fn answer(&self, credential: &Credential, request: Request) -> Result<Results, CloseReason> {
        let behaviour = self.state.lock().unwrap().behaviour.clone();
        if *credential != Credential::ApiKey(behaviour.key) {
            return Err(CloseReason::Unauthorized { code: 401 });
        }
        let variables = request.variables.clone().unwrap_or_default();
        if request.query.starts_with("subscription") {
            let scopes = variables["scopes"].as_array().unwrap().iter().map(scope_of).collect();
            return Ok(self.feed(scopes));
        }
        if request.query.starts_with("mutation") {
            let answer = self.mutate(&request)?;
            return Ok(loopback::one(answer.to_string().into_bytes()));
        }
        if request.query.contains("tomboloChanges") {
            let (model, cursor) = scope_of(&variables["scope"]);
            let (page, _) = self.page(&model, cursor);
            return Ok(loopback::one(page.to_string().into_bytes()));
        }
        Ok(loopback::one(br#"{"data":{"__typename":"Query"}}"#.to_vec()))
    }

    /// Every scope gets a page at first, be it empty, so that the replica knows where it stands.
    fn feed(&self, scopes: Vec<(String, Option<u64>)>) -> Results {
        let (server, heads) = (self.clone(), self.head.subscribe());
        let scopes: Vec<_> = scopes
            .into_iter()
            .map(|(model, cursor)| (model, cursor, true))
            .collect();
        Box::pin(stream::unfold(
            (server, heads, scopes),
            |(server, mut heads, mut scopes)| async move {
                loop {
                    let head = *heads.borrow_and_update();
                    let due = scopes
                        .iter_mut()
                        .find(|(_, at, first)| *first || at.is_none_or(|at| at < head));
                    if let Some((model, cursor, first)) = due {
                        let (page, at) = server.page(model, *cursor);
                        (*cursor, *first) = (Some(at), false);
                        return Some((Ok(page.to_string().into_bytes()), (server, heads, scopes)));
                    }
                    heads.changed().await.ok()?;
                }
            },
        ))
    }

    fn page(&self, model: &str, cursor: Option<u64>) -> (Json, u64) {
        let state = self.state.lock().unwrap();
        let id = self.schema.model_named(model).unwrap();
        let mut fields: Vec<&str> = self.schema.model(id).fields.iter().map(|f| f.name.as_str()).collect();
        let after = cursor.unwrap_or(0);
        let mut rows: Vec<&Row> = state.rows.get(model).into_iter().flat_map(BTreeMap::values).collect();
        rows.retain(|row| row.position > after);
        rows.sort_by_key(|row| row.position);
        let up_to_date = rows.len() <= state.behaviour.page_rows;
        rows.truncate(state.behaviour.page_rows);
        let at = if up_to_date {
            state.position
        } else {
            rows.last().map_or(after, |row| row.position)
        };
        let rows: Vec<Json> = rows
            .iter()
            .map(|row| {
                let mut values: Vec<Json> = fields
                    .iter()
                    .map(|f| row.values.get(*f).cloned().unwrap_or(Json::Null))
                    .collect();
                values.extend([json!(row.version), json!(row.deleted), json!(row.position)]);
                Json::Array(values)
            })
            .collect();
        fields.extend(["_version", "_deleted", "_lastChangedAt"]);
        let page = json!({ "data": { "tomboloChanges": {
            "model": model, "cursor": format!("epoch.{at}"), "upToDate": up_to_date, "reset": false,
            "fields": fields, "rows": rows, "left": [],
        } } });
        (page, at)
    }

    fn mutate(&self, request: &Request) -> Result<Json, CloseReason> {
        let mut state = self.state.lock().unwrap();
        if state.behaviour.undecided > 0 {
            state.behaviour.undecided -= 1;
            return Ok(json!({ "data": null, "errors": [{ "message": "try later", "errorType": "InternalFailure" }] }));
        }
        let ours = request.extensions.as_ref().unwrap()["tombolo"].clone();
        let replica = ours["replica"].as_str().unwrap().to_owned();
        let variables = request.variables.as_ref().unwrap();
        let roots: Vec<(String, String, Map<String, Json>)> = (0..)
            .map_while(|at| {
                let name = request.query.split(&format!(" m{at}: ")).nth(1)?.split('(').next()?;
                let (verb, model) = name.split_at(6);
                Some((
                    verb.to_owned(),
                    model.to_owned(),
                    variables[&format!("i{at}")].as_object()?.clone(),
                ))
            })
            .collect();
        let rejected = |state: &State| {
            roots.iter().any(|(_, _, values)| {
                state.behaviour.reject_text.is_some()
                    && values.get("text").and_then(Json::as_str) == state.behaviour.reject_text.as_deref()
            })
        };
        let mut outcomes = Vec::new();
        for (at, (verb, model, values)) in roots.iter().enumerate() {
            let number = ours["number"].as_u64().unwrap() + at as u64;
            if let Some(known) = state.outcomes.get(&(replica.clone(), number)) {
                outcomes.push(known.clone());
                continue;
            }
            let outcome = if rejected(&state) {
                json!({ "number": number, "outcome": "rejected",
                    "reason": { "code": "ConditionalCheckFailedException", "message": "not that word" } })
            } else {
                let position = state.write(model, values.clone(), verb == "delete");
                state.applied += 1;
                json!({ "number": number, "outcome": "applied", "cursor": format!("epoch.{position}") })
            };
            state.outcomes.insert((replica.clone(), number), outcome.clone());
            outcomes.push(outcome);
        }
        self.head.send_replace(state.position);
        if state.behaviour.lose_answers > 0 {
            state.behaviour.lose_answers -= 1;
            return Err(CloseReason::Closed { code: 1006 });
        }
        Ok(json!({ "data": {}, "extensions": { "tombolo": { "outcomes": outcomes } } }))
    }

    /// A builder for a client of this server, with its file in `folder`.
    pub fn client(&self, folder: &Path) -> tombolo::Builder {
        Client::builder()
            .schema_parsed(Arc::clone(&self.schema))
            .path(folder.join("replica.db"))
            .api_key("dev-key")
            .transport(self.clone())
            .seed(7)
    }
}

impl State {
    fn write(&mut self, model: &str, mut values: Map<String, Json>, deleted: bool) -> u64 {
        self.position += 1;
        let position = self.position;
        values.remove("_version");
        let id = values["id"].as_str().unwrap().to_owned();
        let rows = self.rows.entry(model.to_owned()).or_default();
        let row = rows.entry(id).or_insert(Row {
            values: Map::new(),
            version: 0,
            deleted,
            position,
        });
        row.values.extend(values);
        (row.version, row.deleted, row.position) = (row.version + 1, deleted, position);
        position
    }
}

fn scope_of(scope: &Json) -> (String, Option<u64>) {
    let cursor = scope
        .get("cursor")
        .and_then(Json::as_str)
        .map(|c| c.rsplit('.').next().unwrap().parse().unwrap());
    (scope["model"].as_str().unwrap().to_owned(), cursor)
}

impl Transport for Server {
    fn open<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        let behaviour = self.state.lock().unwrap().behaviour.clone();
        let refusal = if !behaviour.reachable {
            Some(CloseReason::Unreachable {
                detail: "no network".into(),
            })
        } else if !behaviour.sockets {
            Some(CloseReason::Refused { status: 426 })
        } else if *credential != Credential::ApiKey(behaviour.key) {
            Some(CloseReason::Unauthorized { code: 4403 })
        } else {
            None
        };
        match refusal {
            Some(reason) => Box::pin(std::future::ready(Err(reason))),
            None => self.served.as_ref().unwrap().open(credential),
        }
    }

    fn request<'a>(
        &'a self,
        credential: &'a Credential,
        request: Request,
    ) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        let behaviour = self.state.lock().unwrap().behaviour.clone();
        if !behaviour.reachable || !behaviour.http {
            return Box::pin(std::future::ready(Err(CloseReason::Unreachable {
                detail: "no network".into(),
            })));
        }
        self.served.as_ref().unwrap().request(credential, request)
    }
}

/// Waits until the client is up to date with nothing pending.
pub async fn settle(client: &Client) {
    until(client, |status| status.up_to_date && status.pending == 0).await;
}

/// Waits until the status is as wanted.
pub async fn until(client: &Client, wanted: impl FnMut(&tombolo::Status) -> bool) {
    let mut status = client.status();
    let waited = tokio::time::timeout(PATIENCE, status.wait_for(wanted)).await;
    if waited.is_err() {
        panic!("the replica stands at {:?}", *client.status().borrow());
    }
}

pub async fn read(client: &Client, query: &str) -> Json {
    let response = client.query(query, Json::Null).await.unwrap();
    assert!(response.errors().is_empty(), "{}", response.to_json());
    serde_json::from_str(response.data()).unwrap()
}

pub const CREATE: &str =
    "mutation($id: ID, $text: String!) { createNote(input: { id: $id, text: $text }) { id text done _version } }";
pub const UPDATE: &str = "mutation($input: UpdateNoteInput!) { updateNote(input: $input) { id text author stars } }";
pub const DELETE: &str = "mutation($id: ID!) { deleteNote(input: { id: $id }) { id text } }";
