//! Two schema files, one after the other in the life of an app.

use std::sync::Arc;

use tombolo_core::access::{Access, Identity};
use tombolo_core::id::ModelId;
use tombolo_core::query::{Document, QueryLimits, RootField, Side};
use tombolo_core::record::{Meta, Record};
use tombolo_core::schema::{FieldKind, Lens, Model, Scalar, Schema, diff};
use tombolo_core::value::Value;
use tombolo_store::{OpenError, Store};

use crate::{replica, text};

/// Stands between the two.
const BETWEEN: &str = "\n---\n";

/// Compares the two and opens a replica's file of the first with the second.
pub fn run(data: &[u8]) {
    let Some((old, new)) = text(data).and_then(|text| text.split_once(BETWEEN)) else {
        return;
    };
    let (Ok(old), Ok(new)) = (Schema::parse(old, "old.graphql"), Schema::parse(new, "new.graphql")) else {
        return;
    };
    let forth = diff(&old, &new);
    let back = diff(&new, &old);
    assert_eq!(forth.is_empty(), back.is_empty(), "{forth:?} / {back:?}");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("replica.db");
    let (old, new) = (Arc::new(old), Arc::new(new));
    lens(&old, &new);
    lens(&old, &old);
    for schema in [&old, &new, &old] {
        match Store::open(&file, Arc::clone(schema), replica::options()) {
            Ok(store) => drop(store),
            Err(error @ OpenError::InUse(_)) => panic!("a file that was closed is in use: {error}"),
            Err(error) => panic!("a replica's file does not open with another schema: {error}"),
        }
    }
}

/// What an app of the old schema sends is carried to the new one, or refused by name; names lead back.
fn lens(old: &Arc<Schema>, new: &Arc<Schema>) {
    let lens = Lens::between(old, new);
    let same = Arc::ptr_eq(old, new);
    for (place, model) in old.models.iter().enumerate() {
        let at = ModelId(place);
        let carried = lens.model(at);
        assert!(!same || carried.is_ok(), "{} is not itself: {carried:?}", model.name);
        if let Ok(to) = carried {
            assert_eq!(lens.model_name(to), model.name);
            let empty = Record {
                values: vec![Value::Null; new.model(to).fields.len()],
                meta: Meta::default(),
            };
            assert_eq!(lens.record_back(at, &empty).values.len(), model.fields.len());
        }
        for text in mutations(model) {
            let Ok(document) = Document::parse(old, &text, &QueryLimits::replica()) else {
                continue;
            };
            let access = Access::of(old, &Identity::Local);
            let Ok(bound) = document.bind(None, &serde_json::Map::new(), &access, Side::Server) else {
                continue;
            };
            for root in bound.roots() {
                if let RootField::Mutation(input) = &root.field {
                    match lens.mutation(input) {
                        Ok(carried) if same => assert_eq!((&carried.input, carried.removed.len()), (input, 0)),
                        Ok(_) => {}
                        Err(change) => assert!(!same, "{text} is not itself: {change:?}"),
                    }
                }
            }
        }
    }
}

/// A creation, an update and a deletion with a value for each field of a plain type.
fn mutations(model: &Model) -> Vec<String> {
    let value = |place: usize| {
        let field = &model.fields[place];
        let text = match field.ty.kind {
            FieldKind::Scalar(Scalar::Int | Scalar::AwsTimestamp) => "1",
            FieldKind::Scalar(Scalar::Float) => "1.5",
            FieldKind::Scalar(Scalar::Boolean) => "true",
            FieldKind::Scalar(Scalar::Id | Scalar::String) => "\"a\"",
            _ => return None,
        };
        Some(format!("{}: {text}", field.name))
    };
    let all: Vec<String> = (0..model.fields.len()).filter_map(value).collect();
    let key: Vec<String> = model.key.iter().filter_map(|field| value(field.0)).collect();
    let name = &model.name;
    [("create", &all), ("update", &all), ("delete", &key)]
        .map(|(verb, values)| {
            format!(
                "mutation {{ {verb}{name}(input: {{ {} }}) {{ __typename }} }}",
                values.join(" ")
            )
        })
        .to_vec()
}
