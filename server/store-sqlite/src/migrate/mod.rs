//! Fitting the tables to the schema, in one transaction.
//!
//! By itself: what is new is added, what was renamed keeps its records, a type that became wider takes the old values, and a
//! default fills a field that became required. What would lose something is refused, each with its place, its mend and
//! the name under which exactly that may be allowed ([`crate::Options::allow_breaking`]): a field or a model that is gone
//! and holds data, a narrower type, a required field without a default where values are missing, another key, an enum's
//! value in use.
//!
//! What an allowed change does to a value is a change like any other: its record takes a new version and a new place in the
//! feed, so that every replica hears of it. What both sides do alike (defaults, widening, names) takes none.
//!
//! `held`: what the database says of itself; `alter`: tables and columns; `values`: what becomes of values.

mod alter;
mod held;
mod values;

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};
use tombolo_core::id::FieldId;
use tombolo_core::schema::{Field, FieldKind, FieldOrigin, FieldType, Model, Scalar, Schema};

use crate::error::{Misfit, OpenError, store_error};
use crate::tables::quoted;
use held::Held;
pub(crate) use held::{is_current, served};

/// Fits the tables to `schema`, inside the caller's transaction; `allowed` are the names of breaking changes that may be
/// made. On an error the transaction is to be dropped.
pub(crate) fn fit(
    conn: &Connection,
    schema: &Schema,
    path: &Path,
    allowed: &BTreeSet<String>,
) -> Result<(), OpenError> {
    let fail = |error: rusqlite::Error| OpenError::Store {
        path: path.to_owned(),
        source: store_error(error),
    };
    if !held::is_current(conn, schema).map_err(fail)? {
        let mut fitter = Fitter {
            conn,
            schema,
            allowed,
            misfits: Vec::new(),
        };
        fitter.models().map_err(fail)?;
        if !fitter.misfits.is_empty() {
            return Err(OpenError::Schema {
                misfits: fitter.misfits,
            });
        }
    }
    held::note_schema(conn, schema).map_err(fail)?;
    schema
        .models
        .iter()
        .try_for_each(|model| alter::indexes(conn, model))
        .map_err(fail)
}

struct Fitter<'a> {
    conn: &'a Connection,
    schema: &'a Schema,
    allowed: &'a BTreeSet<String>,
    misfits: Vec<Misfit>,
}

impl Fitter<'_> {
    /// Whether the breaking change called `allow` may be made; otherwise it is one of the misfits.
    fn may(&mut self, allow: String, place: &str, problem: String, mend: String) -> bool {
        if self.allowed.contains(&allow) {
            return true;
        }
        self.misfits.push(Misfit {
            place: place.to_owned(),
            problem,
            mend,
            allow,
        });
        false
    }

    fn models(&mut self) -> rusqlite::Result<()> {
        let mut held = held::read(self.conn)?;
        for model in &self.schema.models {
            let was = |name: &&String| held.contains_key(*name) && self.schema.model_named(name).is_none();
            if !held.contains_key(&model.name)
                && let Some(was) = model.former.iter().rev().find(was)
            {
                alter::rename_model(self.conn, was, &model.name)?;
                if let Some(moved) = held.remove(was) {
                    held.insert(model.name.clone(), moved);
                }
            }
        }
        for (name, held) in &held {
            if self.schema.model_named(name).is_none() && self.may_remove(name, held)? {
                alter::forget_model(self.conn, name)?;
            }
        }
        for model in &self.schema.models {
            match held.get(&model.name) {
                None => alter::create(self.conn, model)?,
                Some(held) if !held.has_rows => {
                    // Nothing to lose: the shape is simply the new one.
                    alter::drop_table(self.conn, &model.name)?;
                    alter::create(self.conn, model)?;
                }
                Some(held) => self.model(model, held.clone())?,
            }
        }
        Ok(())
    }

    fn may_remove(&mut self, name: &str, held: &Held) -> rusqlite::Result<bool> {
        Ok(!held.has_rows
            || self.may(
                name.to_owned(),
                name,
                "the schema no longer has this model, but the database holds records of it".into(),
                format!("put `type {name} @model` back, or export and delete its records first"),
            ))
    }

    fn model(&mut self, model: &Model, mut held: Held) -> rusqlite::Result<()> {
        alter::drop_indexes(self.conn, &model.name)?;
        for field in &model.fields {
            let was = |name: &&String| held.fields.contains_key(*name) && model.field(name).is_none();
            if !held.fields.contains_key(&field.name)
                && let Some(was) = field.former.iter().rev().find(was)
            {
                alter::rename_field(self.conn, &model.name, was, &field.name)?;
                held.rename(was, &field.name);
            }
        }
        let key: Vec<String> = model.key.iter().map(|id| model.field_at(*id).name.clone()).collect();
        let rekeyed = key != held.key;
        if rekeyed {
            let shown = |key: &[String]| serde_json::Value::from(key.to_vec()).to_string();
            let problem = format!("its primary key was {} and would be {}", shown(&held.key), shown(&key));
            let mend = "give the old key back, or make a new model and copy the records";
            self.may(format!("{}:key", model.name), &model.name, problem, mend.into());
        }
        for (place, field) in model.fields.iter().enumerate() {
            match held.fields.get(&field.name).cloned() {
                None => alter::add_column(self.conn, model, field)?,
                Some(was) => self.value_type(model, FieldId(place), field, &was.ty)?,
            }
            self.required(
                model,
                field,
                held.fields.get(&field.name).is_some_and(|was| was.required),
            )?;
        }
        for gone in held.fields.keys().filter(|name| model.field(name).is_none()) {
            if self.may_drop(&model.name, gone)? {
                if rekeyed && held.key.contains(gone) {
                    // Part of the table's old key: it goes when the table is made anew.
                    continue;
                }
                alter::drop_column(self.conn, &model.name, gone)?;
            }
        }
        if self.misfits.is_empty() && rekeyed {
            alter::rekey(self.conn, model)?;
        }
        alter::note_fields(self.conn, model)
    }

    fn may_drop(&mut self, model: &str, field: &str) -> rusqlite::Result<bool> {
        let (table, column) = (quoted(model), quoted(field));
        let any = format!("SELECT 1 FROM {table} WHERE {column} IS NOT NULL LIMIT 1");
        let holds = self.conn.query_row(&any, (), |_| Ok(())).optional()?.is_some();
        let place = format!("{model}.{field}");
        Ok(!holds
            || self.may(
                place.clone(),
                &place,
                "the schema no longer has this field, but the database holds values of it".into(),
                format!("put the field back, or name its new name's former one with @renamed(from: \"{field}\")"),
            ))
    }

    /// Another type, or the same enum with fewer values.
    fn value_type(&mut self, model: &Model, id: FieldId, field: &Field, was: &str) -> rusqlite::Result<()> {
        let is = field.ty.with_required(false);
        let place = format!("{}.{}", model.name, field.name);
        let is_key = model.key.contains(&id);
        if was != is.to_string() {
            let old = held::type_of(self.schema, was);
            let same_column = old.storage() == is.storage();
            if old.widens_to(&is) && (same_column || !is_key) {
                return if same_column {
                    Ok(())
                } else {
                    values::convert(self.conn, self.schema, model, field, &old, false)
                };
            }
            let problem = format!("its type was {was} and would be {is}");
            let mend = format!("give it the type {was} back, or add a field of another name with the type {is}");
            if self.may(place.clone(), &place, problem, mend) {
                return values::convert(self.conn, self.schema, model, field, &old, true);
            }
            return Ok(());
        }
        let FieldKind::Enum(name) = &field.ty.kind else {
            return Ok(());
        };
        let gone = values::beyond_the_enum(self.conn, self.schema, model, field, name)?;
        let mut may = !gone.is_empty();
        for value in gone {
            let problem = format!("records of {place} hold the value {value}, which the enum would no longer have");
            let mend = format!("put {value} back, or change those records first");
            may &= self.may(format!("{name}.{value}"), &format!("{name}.{value}"), problem, mend);
        }
        if may {
            values::convert(self.conn, self.schema, model, field, &is, true)?;
        }
        Ok(())
    }

    /// Missing values of a field that may not miss any from now on.
    fn required(&mut self, model: &Model, field: &Field, was_required: bool) -> rusqlite::Result<()> {
        let by_people = matches!(field.origin, FieldOrigin::Declared | FieldOrigin::ForeignKey);
        if !field.ty.required || was_required || !by_people {
            return Ok(());
        }
        if let Some(default) = &field.default {
            return values::fill(self.conn, model, field, default);
        }
        let (table, column) = (quoted(&model.name), quoted(&field.name));
        let any = format!("SELECT 1 FROM {table} WHERE {column} IS NULL LIMIT 1");
        if self.conn.query_row(&any, (), |_| Ok(())).optional()?.is_some() {
            let place = format!("{}.{}", model.name, field.name);
            let problem = "it would be required and has no default, but records lack a value of it".into();
            let mend = "give it a @default, or fill the records first".into();
            self.may(place.clone(), &place, problem, mend);
        }
        Ok(())
    }
}

/// The type without the outermost `!`, which is noted apart.
fn type_text(ty: &FieldType) -> String {
    ty.with_required(false).to_string()
}

/// The type of a text column that nothing else is known of.
const TEXT: FieldKind = FieldKind::Scalar(Scalar::String);
