//! The SQL text for each model's two tables, written once when the store opens.

use tombolo_core::schema::{Index, Model};
use tombolo_core::wire::batch::META_FIELDS;

/// A name as SQL writes it. Names come from a checked schema; a quote in one would still be doubled.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The table that holds the base rows of a model's records with unsettled mutations.
pub(crate) fn base_table(model: &str) -> String {
    format!("_base_{model}")
}

/// The column that keeps, as a JSON object, what the feed gave for fields that this schema does not have or whose column
/// cannot take it: a later schema finds it there.
pub(crate) const EXTRA: &str = "_extra";

/// Statements of one model.
#[derive(Debug)]
pub(crate) struct ModelSql {
    pub select_view: String,
    pub put_view: String,
    pub remove_view: String,
    pub select_base: String,
    pub put_base: String,
    /// Gives a row if a base row is kept apart: whether it says that the server has none.
    pub has_base: String,
    pub any_base: String,
    /// Notes what else came with the row of a record whose base row is kept apart.
    pub extra_base: String,
    pub adopt_copy: String,
    pub adopt_clear: String,
    pub sweep: String,
    pub sweep_keys: String,
    /// `NOT EXISTS (…)`: the view row `t` has no base row kept apart.
    pub unkept: String,
    pub view_generation: String,
}

impl ModelSql {
    pub(crate) fn new(model: &Model) -> Self {
        let view = quote(&model.name);
        let base = quote(&base_table(&model.name));
        let columns: Vec<String> = model
            .fields
            .iter()
            .map(|f| quote(&f.name))
            .chain(META_FIELDS.iter().map(|name| quote(name)))
            .collect();
        let all = columns.join(", ");
        let keys: Vec<String> = key_columns(model);
        let by_key = |from: usize| {
            keys.iter()
                .enumerate()
                .map(|(i, k)| format!("{k} = ?{}", i + from))
                .collect::<Vec<_>>()
                .join(" AND ")
        };
        let places = |count: usize| (1..=count).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ");
        let key_list = keys.join(", ");
        // The key's values by their places among all.
        let by_value: Vec<String> = model
            .key
            .iter()
            .zip(&keys)
            .map(|(field, key)| format!("{key} = ?{}", field.0 + 1))
            .collect();
        let by_value = by_value.join(" AND ");
        let unkept = format!(
            "NOT EXISTS (SELECT 1 FROM {base} b WHERE {})",
            keys.iter()
                .map(|k| format!("b.{k} = t.{k}"))
                .collect::<Vec<_>>()
                .join(" AND ")
        );
        Self {
            select_view: format!("SELECT {all} FROM {view} WHERE {}", by_key(1)),
            put_view: upsert(&model.name, &columns, &[], &keys),
            remove_view: format!("DELETE FROM {view} WHERE {}", by_key(1)),
            select_base: format!("SELECT _absent, {all} FROM {base} WHERE {}", by_key(1)),
            put_base: format!(
                "INSERT INTO {base} ({all}, _generation, _absent, {EXTRA}) VALUES ({}, \
                 (SELECT {EXTRA} FROM {view} WHERE {by_value})) ON CONFLICT ({key_list}) DO UPDATE SET {}",
                places(columns.len() + 2),
                columns
                    .iter()
                    .filter(|c| !keys.contains(c))
                    .map(String::as_str)
                    .chain(["_generation", "_absent"])
                    .map(|c| format!("{c} = excluded.{c}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            extra_base: format!("UPDATE {base} SET {EXTRA} = ?1 WHERE {}", by_key(2)),
            has_base: format!("SELECT _absent FROM {base} WHERE {}", by_key(1)),
            any_base: format!("SELECT EXISTS (SELECT 1 FROM {base})"),
            adopt_copy: format!(
                "INSERT OR REPLACE INTO {view} ({all}, _generation, {EXTRA}) \
                 SELECT {all}, _generation, {EXTRA} FROM {base} WHERE {} AND _absent = 0",
                by_key(1)
            ),
            adopt_clear: format!("DELETE FROM {base} WHERE {}", by_key(1)),
            sweep: format!("DELETE FROM {view} AS t WHERE t._generation < ?1 AND {unkept}"),
            sweep_keys: format!("SELECT {key_list} FROM {base} WHERE _generation < ?1 ORDER BY {key_list}"),
            unkept,
            view_generation: format!("SELECT _generation FROM {view} WHERE {}", by_key(1)),
        }
    }
}

/// The key's columns, quoted.
pub(crate) fn key_columns(model: &Model) -> Vec<String> {
    model
        .key
        .iter()
        .filter_map(|f| model.fields.get(f.0))
        .map(|f| quote(&f.name))
        .collect()
}

/// Insert or update of `columns` (quoted), then of `fresh` for a new row alone, and, last, the generation.
pub(crate) fn upsert(table: &str, columns: &[String], fresh: &[String], keys: &[String]) -> String {
    let all: Vec<&str> = columns.iter().chain(fresh).map(String::as_str).collect();
    let places = (1..=all.len() + 1)
        .map(|i| format!("?{i}"))
        .collect::<Vec<_>>()
        .join(", ");
    let set: Vec<String> = columns
        .iter()
        .filter(|c| !keys.contains(c))
        .map(|c| format!("{c} = excluded.{c}"))
        .chain(["_generation = excluded._generation".to_owned()])
        .collect();
    format!(
        "INSERT INTO {} ({}, _generation) VALUES ({places}) ON CONFLICT ({}) DO UPDATE SET {}",
        quote(table),
        all.join(", "),
        keys.join(", "),
        set.join(", ")
    )
}

/// `CREATE TABLE` for the view rows, or the base rows, of a model.
pub(crate) fn create_table(model: &Model, base: bool) -> String {
    let mut columns: Vec<String> = model
        .fields
        .iter()
        .map(|field| format!("{} {}", quote(&field.name), field.ty.storage().column_type()))
        .collect();
    let constraint = if base { "" } else { " NOT NULL" };
    columns.extend(
        META_FIELDS
            .iter()
            .map(|name| format!("{} INTEGER{constraint}", quote(name))),
    );
    columns.push("_generation INTEGER NOT NULL".to_owned());
    columns.push(format!("{EXTRA} TEXT"));
    if base {
        columns.push("_absent INTEGER NOT NULL".to_owned());
    }
    columns.push(format!("PRIMARY KEY ({})", key_columns(model).join(", ")));
    let name = if base {
        base_table(&model.name)
    } else {
        model.name.clone()
    };
    format!("CREATE TABLE {} ({})", quote(&name), columns.join(", "))
}

/// Name and `CREATE INDEX` of a secondary index; it ends in the key, as every order does.
pub(crate) fn create_index(model: &Model, index: &Index) -> (String, String) {
    let name = format!("_ix_{}_{}", model.name, index.name);
    let mut columns: Vec<String> = index
        .fields
        .iter()
        .filter_map(|f| model.fields.get(f.0))
        .map(|f| quote(&f.name))
        .collect();
    for key in key_columns(model) {
        if !columns.contains(&key) {
            columns.push(key);
        }
    }
    let sql = format!(
        "CREATE INDEX {} ON {} ({})",
        quote(&name),
        quote(&model.name),
        columns.join(", ")
    );
    (name, sql)
}
