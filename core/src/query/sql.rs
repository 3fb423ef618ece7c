//! Plans as SQL for SQLite.
//!
//! Names in the text come from the checked schema and are quoted; everything else is a parameter. The text depends on the
//! plan's form alone, so that equal queries share a prepared statement.

use std::fmt::Write as _;

use super::execute::Statement;
use super::moment::delta_begins;
use super::plan::{By, Child, Column, List, Node, Source};
use super::request::Side;
use crate::schema::{Model, Schema};
use crate::value::Value;

/// The alias of the model's table.
const T: &str = "t";

/// Gives a node's statement.
pub(super) struct Builder<'a> {
    pub(super) schema: &'a Schema,
    pub(super) side: Side,
    /// Of a sync.
    pub(super) started_at: Option<i64>,
}

/// The parents' keys for a child's statement: `keys[i]` is the key that group `i` belongs to.
pub(super) struct ParentKeys<'a> {
    pub(super) values: &'a [Vec<Value>],
    pub(super) json: &'a [String],
}

impl Builder<'_> {
    /// The statement of a root node: its columns.
    pub(super) fn root(&self, node: &Node) -> Option<Statement> {
        let model = self.schema.model(node.model);
        let mut params = Vec::new();
        let mut sql = format!(
            "SELECT {} FROM \"{}\" AS {T}",
            columns(model, node, &mut params),
            model.name
        );
        match &node.source {
            Source::Key(filter) => {
                let test = filter.sql(model, T, &mut params);
                let _ = write!(sql, " WHERE {test}{}", self.living());
                let _ = write!(sql, " ORDER BY {} LIMIT 1", order(model, &By::all(key(model), false)));
            }
            Source::List(list) => {
                let test = self.conditions(model, list, &mut params);
                let _ = write!(sql, " WHERE {test}{}", self.living());
                let _ = write!(sql, " ORDER BY {}", order(model, &list.order));
                let _ = write!(sql, " LIMIT {}", bind(&mut params, Value::Int(rows(list))));
                if list.skip > 0 {
                    let skip = i64::try_from(list.skip).unwrap_or(i64::MAX);
                    let _ = write!(sql, " OFFSET {}", bind(&mut params, Value::Int(skip)));
                }
            }
            Source::Child(_) | Source::Given => return None,
        }
        Some(Statement { sql, params })
    }

    /// The statement of a child node for all of its parents: first the number of the key, then the columns.
    pub(super) fn child(&self, node: &Node, child: &Child, keys: &ParentKeys<'_>) -> Statement {
        match keys.values {
            [one] => self.child_of_one(node, child, one),
            _ => self.child_of_many(node, child, keys),
        }
    }

    fn child_of_one(&self, node: &Node, child: &Child, key: &[Value]) -> Statement {
        let model = self.schema.model(node.model);
        let mut params = Vec::new();
        let mut sql = format!(
            "SELECT 0, {} FROM \"{}\" AS {T} WHERE ",
            columns(model, node, &mut params),
            model.name
        );
        for (field, value) in child.target.iter().zip(key) {
            let param = bind(&mut params, value.clone());
            let _ = write!(sql, "{T}.\"{}\" = {param} AND ", model.field_at(*field).name);
        }
        let test = self.conditions(model, &child.list, &mut params);
        let _ = write!(sql, "{test}{}", self.living());
        let _ = write!(sql, " ORDER BY {}", order(model, &child.list.order));
        let _ = write!(sql, " LIMIT {}", bind(&mut params, Value::Int(rows(&child.list))));
        Statement { sql, params }
    }

    /// Rows beyond a list's limit are dropped as they come ([`super::execute`]): a `row_number()` window would read them all
    /// too, since SQLite stops no window early, and it took six times as long (SQLite 3.40, 1000 parents of 5 records:
    /// 19 ms against 3 ms).
    fn child_of_many(&self, node: &Node, child: &Child, keys: &ParentKeys<'_>) -> Statement {
        let model = self.schema.model(node.model);
        let mut params = vec![Value::Text(format!("[{}]", keys.json.join(",")))];
        let mut from = format!("FROM json_each(?1) AS p CROSS JOIN \"{}\" AS {T} WHERE ", model.name);
        for (i, field) in child.target.iter().enumerate() {
            let name = &model.field_at(*field).name;
            let _ = if child.target.len() == 1 {
                write!(from, "{T}.\"{name}\" = p.value AND ")
            } else {
                write!(from, "{T}.\"{name}\" = json_extract(p.value, '$[{i}]') AND ")
            };
        }
        let test = self.conditions(model, &child.list, &mut params);
        let _ = write!(from, "{test}{}", self.living());
        let by = order(model, &child.list.order);
        let sql = format!(
            "SELECT p.key, {} {from} ORDER BY p.key, {by}",
            columns(model, node, &mut params)
        );
        Statement { sql, params }
    }

    /// Everything that must hold of a record of the list; `1` without conditions.
    fn conditions(&self, model: &Model, list: &List, params: &mut Vec<Value>) -> String {
        let mut parts = Vec::new();
        if let Some(filter) = &list.filter {
            parts.push(filter.sql(model, T, params));
        }
        let last_sync = list.sync.as_ref().and_then(|sync| sync.last_sync);
        let since = last_sync.and_then(|at| delta_begins(at, self.started_at.unwrap_or(0)));
        // A later page begins inside of the delta anyway.
        if let Some(since) = since.filter(|_| list.after.is_none()) {
            // Times never decrease in the order of positions. From the newest back to the first older one there are as many as the
            // delta has; from the beginning there would be as many as the model has.
            parts.push(format!(
                "{T}.\"_position\" > COALESCE((SELECT o.\"_position\" FROM \"{}\" AS o WHERE o.\"_lastChangedAt\" < {} \
                 ORDER BY o.\"_position\" DESC LIMIT 1), 0)",
                model.name,
                bind(params, Value::Int(since))
            ));
        }
        if let Some(after) = &list.after {
            parts.push(beyond(model, list, after, params));
        }
        if parts.is_empty() {
            return "1".to_owned();
        }
        parts.join(" AND ")
    }

    fn living(&self) -> &'static str {
        match self.side {
            Side::Server => "",
            Side::Replica => " AND t.\"_deleted\" IS NOT 1",
        }
    }

    /// The newest `_lastChangedAt` of the model: a moment from which on a later sync misses nothing, since the times never
    /// decrease in commit order.
    pub(super) fn newest_change(&self, node: &Node) -> Statement {
        let model = self.schema.model(node.model);
        Statement {
            sql: format!(
                "SELECT {T}.\"_lastChangedAt\" FROM \"{}\" AS {T} ORDER BY {T}.\"_position\" DESC LIMIT 1",
                model.name
            ),
            params: Vec::new(),
        }
    }
}

/// The columns of a model's primary key.
pub(super) fn key(model: &Model) -> Vec<Column> {
    model.key.iter().map(|f| Column::Field(*f)).collect()
}

/// Rows to read for a page.
fn rows(list: &List) -> i64 {
    i64::try_from(list.limit + usize::from(list.probe)).unwrap_or(i64::MAX)
}

fn bind(params: &mut Vec<Value>, value: Value) -> String {
    params.push(value);
    format!("?{}", params.len())
}

fn place(model: &Model, column: Column) -> String {
    let name = match column {
        Column::Field(field) => &model.field_at(field).name,
        Column::Version => "_version",
        Column::Deleted => "_deleted",
        Column::LastChangedAt => "_lastChangedAt",
        Column::Position => "_position",
        // Is no column of the table, and nothing is ordered by it.
        Column::Rule(_) => return "0".to_owned(),
    };
    format!("{T}.\"{name}\"")
}

fn columns(model: &Model, node: &Node, params: &mut Vec<Value>) -> String {
    if node.columns.is_empty() {
        return "1".to_owned();
    }
    let mut one = |column: &Column| match column {
        Column::Rule(at) => match node.rules.get(*at) {
            Some(rule) => format!("({})", rule.sql(model, T, params)),
            None => "0".to_owned(),
        },
        column => place(model, *column),
    };
    let places: Vec<String> = node.columns.iter().map(&mut one).collect();
    places.join(", ")
}

fn order(model: &Model, order: &[By]) -> String {
    let word = |by: &By| if by.descending { " DESC" } else { "" };
    let places: Vec<String> = order
        .iter()
        .map(|by| format!("{}{}", place(model, by.column), word(by)))
        .collect();
    places.join(", ")
}

/// Records that come after the one whose order columns have the values `after`. Nulls come first, and last where the order
/// descends: as SQLite has it.
fn beyond(model: &Model, list: &List, after: &[Value], params: &mut Vec<Value>) -> String {
    // A field that is required may be null in a row from before it was, or before the server has filled it in. Where the order
    // ascends such rows lie behind; where it descends they lie ahead, and a comparison of rows would leave them out.
    let never_null = |by: &By| match by.column {
        Column::Field(field) => model.key.contains(&field) || (model.field_at(field).ty.required && !by.descending),
        Column::Version | Column::Deleted | Column::LastChangedAt | Column::Position | Column::Rule(_) => true,
    };
    let first = list.order.first().is_some_and(|by| by.descending);
    let one_way = list.order.iter().all(|by| by.descending == first);
    if one_way && list.order.iter().all(never_null) && after.iter().all(|v| !v.is_null()) {
        // A comparison of rows is one step into an index.
        let operator = if first { "<" } else { ">" };
        let places: Vec<String> = list.order.iter().map(|by| place(model, by.column)).collect();
        let values: Vec<String> = after.iter().map(|v| bind(params, v.clone())).collect();
        return format!("({}) {operator} ({})", places.join(", "), values.join(", "));
    }
    let mut ways = Vec::new();
    let mut equal = String::new();
    for (by, value) in list.order.iter().zip(after) {
        let place = place(model, by.column);
        let param = bind(params, value.clone());
        match (value.is_null(), by.descending) {
            (true, false) => ways.push(format!("{equal}{place} IS NOT NULL")),
            (true, true) => {}
            (false, false) => ways.push(format!("{equal}{place} > {param}")),
            (false, true) => ways.push(format!("{equal}({place} < {param} OR {place} IS NULL)")),
        }
        let _ = write!(equal, "{place} IS {param} AND ");
    }
    if ways.is_empty() {
        return "0".to_owned();
    }
    format!("({})", ways.join(" OR "))
}
