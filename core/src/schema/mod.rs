//! SDL with Amplify's directives in; a checked model of it and the generated API out.
//!
//! [`Schema::parse`] does everything: it reads the file, checks it, and builds the API's own GraphQL schema. All errors
//! of a file are gathered and returned at once, each with its place, the rule broken and the mend.
//!
//! The stages, one file each: `read` (text → definitions, extensions merged), `v1` (Amplify's older directives put into the
//! newer), `types` (what can be stored), `draft` (models: fields, with `keys`, `operations`, `auth` and `modes`), `relations`
//! with `joins` (join models, foreign keys, both ends matched), `api` (AppSync's API as SDL). Beside them: `scalar` checks
//! values of fields, `storage` says how they are kept, `diff` compares two schemas, `lens` carries over what was made under
//! an earlier one.

mod api;
mod auth;
mod diff;
mod directives;
mod draft;
mod hash;
mod joins;
mod keys;
mod lens;
mod lookup;
mod merging;
mod model;
mod modes;
mod names;
mod operations;
mod read;
mod relations;
mod report;
mod reserved;
mod scalar;
mod storage;
mod types;
mod v1;

pub(crate) use merging::OPERATIONS;

pub(crate) use auth::{GROUPS_FIELD, OWNER_FIELD};
pub use diff::{Difference, diff};
pub use lens::{Carried, Lens, PartWritten, RemovedField, SchemaChange};
pub use lookup::{LAST_CHANGED_AT, api_name};
pub use model::*;
pub use reserved::is_name;
pub use scalar::ValueError;
pub use storage::Storage;

use crate::limits;

use draft::{Draft, Surroundings};
use read::Kind;

impl Schema {
    /// Reads a schema file; `file` is its name in messages.
    ///
    /// # Errors
    /// Everything that is wrong with the file, by place. Syntax errors hide the rest until they are mended.
    pub fn parse(sdl: &str, file: &str) -> Result<Self, SchemaErrors> {
        let (mut declared, mut report) = read::read(sdl, file)?;
        v1::translate(&mut report, &mut declared);
        let kinds = declared.kinds();
        let enums = types::enums(&declared, &mut report);
        let embeddable = types::Embeddable::of(&declared, &kinds);
        let around = Surroundings {
            kinds: &kinds,
            enums: &enums,
            embeddable: &embeddable,
            defined: &declared.directives,
        };
        let mut drafts: Vec<Draft> = Vec::new();
        for object in &declared.objects {
            if kinds.get(object.name.as_str()) == Some(&Kind::Model) {
                drafts.push(Draft::read(&mut report, &around, object));
            } else {
                check_plain(&mut report, &declared, object);
            }
        }
        if drafts.is_empty() {
            report.warn(
                None,
                "no type has @model, so there is nothing to serve",
                "write `type Todo @model { id: ID! }`",
            );
        }
        relations::resolve(&mut report, &kinds, &mut drafts);
        for draft in &mut drafts {
            draft.add_generated(&mut report);
        }
        check_models(&mut report, &drafts);
        merging::check(&mut report, &declared, &kinds, &drafts);
        let embedded = embeddable.reachable(drafts.iter().flat_map(Draft::embedded_names));
        types::check_cycles(&mut report, &declared, &embedded);
        let modes = modes::outside_models(&mut report, &declared);
        let input = api::Input {
            drafts: &drafts,
            declared: &declared,
            enums: &enums,
            embedded: &embedded,
        };
        let generated = api::generate(&mut report, &input);
        let Some(api) = generated.filter(|_| !report.has_errors()) else {
            return Err(report.into_errors());
        };
        let models: Vec<Model> = drafts.into_iter().map(|draft| draft.model).collect();
        let hash = hash::hash(&models, &enums, &embedded, &api.roots);
        Ok(Self {
            models,
            enums,
            embedded,
            modes,
            api: api.schema,
            api_sdl: api.sdl,
            roots: api.roots,
            hash,
            source: sdl.to_owned(),
            warnings: report.into_warnings(),
        })
    }
}

/// Directives on types that are not models, and the enums and others beside them.
fn check_plain(
    report: &mut report::Report,
    declared: &read::Declared,
    object: &apollo_compiler::ast::ObjectTypeDefinition,
) {
    if read::is_root(&object.name)
        && let Some(directive) = object.directives.get("model")
    {
        report.error(
            directive.location(),
            format!("`{}` cannot be a model", object.name),
            "rename the type",
        );
    }
    directives::check_list(report, &object.directives, directives::On::Type, &declared.directives);
    for field in &object.fields {
        directives::check_list(report, &field.directives, directives::On::Field, &declared.directives);
        for wrong in [
            "primaryKey",
            "index",
            "hasOne",
            "hasMany",
            "belongsTo",
            "manyToMany",
            "default",
            "merge",
        ] {
            if let Some(directive) = field.directives.get(wrong) {
                report.error(
                    directive.location(),
                    format!("@{wrong} stands in `{}`, which is not a model", object.name),
                    "add @model to the type, or remove the directive",
                );
            }
        }
    }
}

fn check_models(report: &mut report::Report, drafts: &[Draft]) {
    for (i, draft) in drafts.iter().enumerate() {
        let name = &draft.model.name;
        if let Some(other) = drafts.iter().take(i).find(|d| d.model.name.eq_ignore_ascii_case(name)) {
            report.error(
                draft.place,
                format!(
                    "`{name}` and `{}` are the same name in a database, which ignores case",
                    other.model.name
                ),
                "rename one",
            );
        }
    }
    if drafts.len() > limits::SCHEMA_MODELS_MAX {
        report.error(
            None,
            format!("more than {} models", limits::SCHEMA_MODELS_MAX),
            "split the schema",
        );
    }
}
