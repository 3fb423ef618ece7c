//! Local queries and what they must answer: the same question put to records in memory by looking at every one of them.
//! Written from the description of the API, not from the planner.

use std::sync::{Arc, OnceLock};

use fastrand::Rng;
use serde_json::{Map, Value as Json, json};
use tombolo_core::access::{Access, Identity};
use tombolo_core::query::{Bound, Cache, QueryLimits, Side};
use tombolo_core::schema::Schema;

use crate::generate::COLORS;
use crate::op::Kind;

/// Pages of one list that are fetched at most: more than the records of a world make.
pub(crate) const PAGES_MAX: usize = 200;

/// A local query, derived from a number.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) text: String,
    /// The root field's name, for lists followed page by page.
    pub(crate) root: &'static str,
    pub(crate) variables: Map<String, Json>,
    ask: Ask,
}

#[derive(Clone, Debug)]
enum Ask {
    /// All records of a model that the filter holds, by key.
    List(Kind, Json),
    /// Todos of a list, by key, from behind if told so.
    ByList(String, bool),
    /// One record.
    Get(Kind, String),
    /// Lists with the ids of their todos.
    Nested,
}

const FIELDS: &str = "id title body color rank";

impl Query {
    pub(crate) fn derive(number: u64) -> Self {
        let mut rng = Rng::with_seed(number);
        let kind = match rng.u8(0..5) {
            0 | 1 => Kind::Todo,
            2 => Kind::Note,
            3 => Kind::Card,
            _ => Kind::Tag,
        };
        let limit = rng.u32(1..12);
        match rng.u8(0..10) {
            0..=5 => {
                let filter = filter(&mut rng, 2);
                let model = kind.model();
                let root = match kind {
                    Kind::List => "listLists",
                    Kind::Todo => "listTodos",
                    Kind::Note => "listNotes",
                    Kind::Tag => "listTags",
                    Kind::Card => "listCards",
                    Kind::Tally => "listTallies",
                };
                Self {
                    text: format!(
                        "query($f: Model{model}FilterInput, $l: Int, $t: String) {{ {root}(filter: $f, limit: $l, \
                         nextToken: $t) {{ items {{ {FIELDS} }} nextToken }} }}"
                    ),
                    root,
                    variables: object(json!({ "f": filter, "l": limit })),
                    ask: Ask::List(kind, filter),
                }
            }
            6 | 7 => {
                let (list, down) = (rng.u32(0..3).to_string(), rng.bool());
                Self {
                    text: format!(
                        "query($k: ID!, $s: ModelSortDirection, $l: Int, $t: String) {{ todosByList(listID: $k, \
                         sortDirection: $s, limit: $l, nextToken: $t) {{ items {{ {FIELDS} }} nextToken }} }}"
                    ),
                    root: "todosByList",
                    variables: object(json!({ "k": list, "s": if down { "DESC" } else { "ASC" }, "l": limit })),
                    ask: Ask::ByList(list, down),
                }
            }
            8 => {
                let id = rng.u32(0..9).to_string();
                let model = kind.model();
                Self {
                    text: format!("query($id: ID!) {{ get: get{model}(id: $id) {{ {FIELDS} }} }}"),
                    root: "get",
                    variables: object(json!({ "id": id })),
                    ask: Ask::Get(kind, id),
                }
            }
            _ => Self {
                text: "query($t: String) { listLists(nextToken: $t) { items { id title todos { items { id } } } \
                       nextToken } }"
                    .into(),
                root: "listLists",
                variables: Map::new(),
                ask: Ask::Nested,
            },
        }
    }

    /// The checked plan of one page.
    pub(crate) fn bind(&self, schema: &Arc<Schema>, token: Option<&Json>) -> Result<Bound, String> {
        static DOCUMENTS: OnceLock<Cache> = OnceLock::new();
        let mut variables = self.variables.clone();
        if let Some(token) = token {
            variables.insert("t".into(), token.clone());
        }
        let limits = QueryLimits::replica();
        DOCUMENTS
            .get_or_init(Cache::default)
            .parse(schema, &self.text, &limits)
            .and_then(|document| {
                let access = Access::of(schema, &Identity::Local);
                document.bind(None, &variables, &access, Side::Replica)
            })
            .map_err(|errors| format!("{}: {errors:?}", self.text))
    }

    /// Whether the answer is a list, to be followed page by page.
    pub(crate) fn is_list(&self) -> bool {
        !matches!(self.ask, Ask::Get(..))
    }

    /// What the answer must be: the items of a list, or the one record. `records` gives those of a model that show, as
    /// objects with all their fields.
    pub(crate) fn answer(&self, records: &dyn Fn(Kind) -> Vec<Json>) -> Json {
        let by_key = |kind: Kind| {
            let mut all = records(kind);
            all.sort_by(|a, b| text(a, "id").as_bytes().cmp(text(b, "id").as_bytes()));
            all
        };
        let shown = |record: &Json| {
            let fields = FIELDS.split(' ');
            Json::Object(fields.map(|name| (name.to_owned(), record[name].clone())).collect())
        };
        match &self.ask {
            Ask::List(kind, filter) => by_key(*kind).iter().filter(|r| matches(filter, r)).map(shown).collect(),
            Ask::ByList(list, down) => {
                let mut of_list = by_key(Kind::Todo);
                of_list.retain(|todo| todo["listID"] == json!(list));
                if *down {
                    of_list.reverse();
                }
                of_list.iter().map(shown).collect()
            }
            Ask::Get(kind, id) => {
                let found = records(*kind).into_iter().find(|record| record["id"] == json!(id));
                found.as_ref().map_or(Json::Null, shown)
            }
            Ask::Nested => {
                let todos = by_key(Kind::Todo);
                let lists = by_key(Kind::List);
                let nested = lists.iter().map(|list| {
                    let of_list = todos.iter().filter(|todo| todo["listID"] == list["id"]);
                    let ids: Vec<Json> = of_list.map(|todo| json!({ "id": todo["id"] })).collect();
                    json!({ "id": list["id"], "title": list["title"], "todos": { "items": ids } })
                });
                nested.collect()
            }
        }
    }
}

fn object(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(map) => map,
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => Map::new(),
    }
}

fn text<'a>(record: &'a Json, field: &str) -> &'a str {
    record[field].as_str().unwrap_or_default()
}

fn filter(rng: &mut Rng, depth: u32) -> Json {
    match rng.u8(0..6) {
        0 if depth > 0 => json!({ "and": [filter(rng, depth - 1), filter(rng, depth - 1)] }),
        1 if depth > 0 => json!({ "or": [filter(rng, depth - 1), filter(rng, depth - 1)] }),
        2 if depth > 0 => json!({ "not": filter(rng, depth - 1) }),
        _ => leaf(rng),
    }
}

fn leaf(rng: &mut Rng) -> Json {
    if rng.u8(0..3) == 0 {
        let mut number = || rng.i64(0..160);
        let (a, b) = (number(), number());
        let test = match rng.u8(0..8) {
            0 => json!({ "eq": a }),
            1 => json!({ "ne": a }),
            2 => json!({ "lt": a }),
            3 => json!({ "le": a }),
            4 => json!({ "gt": a }),
            5 => json!({ "ge": a }),
            6 => json!({ "between": [a.min(b), a.max(b)] }),
            _ => json!({ "attributeExists": rng.bool() }),
        };
        return json!({ "rank": test });
    }
    let field = ["color", "title", "body"][rng.usize(0..3)];
    let operand = match field {
        "color" => COLORS[rng.usize(0..COLORS.len())].to_owned(),
        "title" => format!("{}{}", ["c", "t", "x"][rng.usize(0..3)], rng.u32(1..15)),
        _ => format!("b{}", rng.u32(1..15)),
    };
    let start: String = operand.chars().take(1 + rng.usize(0..2)).collect();
    let test = match rng.u8(0..10) {
        0 => json!({ "eq": operand }),
        1 => json!({ "ne": operand }),
        2 => json!({ "lt": operand }),
        3 => json!({ "le": operand }),
        4 => json!({ "gt": operand }),
        5 => json!({ "ge": operand }),
        6 => json!({ "beginsWith": start }),
        7 => json!({ "contains": start }),
        8 => json!({ "notContains": start }),
        _ => json!({ "attributeExists": rng.bool() }),
    };
    json!({ field: test })
}

/// Absent equals nothing and is neither less nor greater; negations hold for the absent.
fn matches(filter: &Json, record: &Json) -> bool {
    let Json::Object(tests) = filter else { return true };
    tests.iter().all(|(name, test)| match name.as_str() {
        "and" => test
            .as_array()
            .is_some_and(|all| all.iter().all(|f| matches(f, record))),
        "or" => test
            .as_array()
            .is_some_and(|any| any.iter().any(|f| matches(f, record))),
        "not" => !matches(test, record),
        field => test.as_object().is_some_and(|tests| {
            tests
                .iter()
                .all(|(operator, operand)| holds(&record[field], operator, operand))
        }),
    })
}

fn holds(value: &Json, operator: &str, operand: &Json) -> bool {
    let order = match (value, operand) {
        (Json::Number(a), Json::Number(b)) => a.as_i64().zip(b.as_i64()).map(|(a, b)| a.cmp(&b)),
        (Json::String(a), Json::String(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        _ => None,
    };
    let words = || value.as_str().zip(operand.as_str());
    match operator {
        "eq" => order.is_some_and(std::cmp::Ordering::is_eq),
        "ne" => !order.is_some_and(std::cmp::Ordering::is_eq),
        "lt" => order.is_some_and(std::cmp::Ordering::is_lt),
        "le" => order.is_some_and(std::cmp::Ordering::is_le),
        "gt" => order.is_some_and(std::cmp::Ordering::is_gt),
        "ge" => order.is_some_and(std::cmp::Ordering::is_ge),
        "between" => holds(value, "ge", &operand[0]) && holds(value, "le", &operand[1]),
        "beginsWith" => words().is_some_and(|(text, start)| text.starts_with(start)),
        "contains" => words().is_some_and(|(text, part)| text.contains(part)),
        "notContains" => !words().is_some_and(|(text, part)| text.contains(part)),
        "attributeExists" => operand.as_bool() == Some(!value.is_null()),
        _ => false,
    }
}
