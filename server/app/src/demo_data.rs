//! The example that `dev` starts with: the schema and the small tables of `examples/flights`, compiled in.
//!
//! Records go in as anybody's would: one `create` mutation each, through the writer. Loading twice changes nothing, since
//! a record that is there already refuses to be created.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};
use tombolo_core::access::Identity;
use tombolo_core::id::ModelId;
use tombolo_core::schema::{MutationKind, MutationRoot, Schema};
use tombolo_core::wire::envelope::OutcomeKind;
use tombolo_core::wire::graphql::{ErrorType, Request};

use crate::StartError;
use crate::api::{Api, Work};
use crate::cells::{self, CreateField};

/// The example's schema.
pub const SCHEMA: &str = include_str!("../../../examples/flights/schema.graphql");

/// The example's tables: model name, CSV text with field names in the first line. An empty cell is null.
pub const TABLES: [(&str, &str); 5] = [
    ("Airline", include_str!("../../../examples/flights/data/Airline.csv")),
    ("Airport", include_str!("../../../examples/flights/data/Airport.csv")),
    ("Plane", include_str!("../../../examples/flights/data/Plane.csv")),
    ("Flight", include_str!("../../../examples/flights/data/Flight.csv")),
    ("Note", include_str!("../../../examples/flights/data/Note.csv")),
];

/// Records sent to the writer before their answers are awaited.
const WINDOW: usize = 256;

/// Loads all tables; gives the number of records created.
///
/// # Errors
/// The data does not fit the schema, or the store fails.
pub async fn load(api: &Api) -> Result<usize, StartError> {
    let mut created = 0;
    for (model, table) in TABLES {
        created += load_table(api, model, table).await?;
    }
    Ok(created)
}

async fn load_table(api: &Api, name: &str, table: &str) -> Result<usize, StartError> {
    let schema = api.schema();
    let wrong = |why: String| StartError::Data(format!("{name}.csv: {why}"));
    let model = schema
        .models
        .iter()
        .position(|m| m.name == name)
        .ok_or_else(|| wrong("the schema has no such model".to_owned()))?;
    let field = create_field(schema, ModelId(model))
        .ok_or_else(|| wrong("the schema lets nobody create its records".to_owned()))?;
    let query = format!("mutation($input: Create{name}Input!) {{ {field}(input: $input) {{ __typename }} }}");
    let model = &schema.models[model];

    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let headers = reader.headers().map_err(|e| wrong(e.to_string()))?.clone();
    let columns: HashMap<&str, CreateField> = model
        .fields
        .iter()
        .map(|field| (field.name.as_str(), CreateField::of(schema, field)))
        .collect();
    let mut requests = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|e| wrong(e.to_string()))?;
        let mut input = Map::new();
        for (header, cell) in headers.iter().zip(&row).filter(|(_, cell)| !cell.is_empty()) {
            let field = columns
                .get(header)
                .ok_or_else(|| wrong(format!("{name} has no field {header}")))?;
            let value = cells::value(field, cell).map_err(|why| wrong(format!("{header}: {why}")))?;
            input.insert(header.to_owned(), value);
        }
        let variables = Some(Map::from_iter([("input".to_owned(), Json::Object(input))]));
        requests.push(Request {
            query: query.clone(),
            variables,
            ..Request::default()
        });
    }

    let mut created = 0;
    for window in requests.chunks(WINDOW) {
        let mut answers = Vec::with_capacity(window.len());
        for request in window {
            let Ok(Work::Mutation(prepared)) = api.prepare(&Identity::Local, request) else {
                return Err(wrong("a record does not fit the schema".to_owned()));
            };
            let submission = api.engine().submission(&prepared, Vec::new());
            answers.push(
                api.writer()
                    .submit(submission)
                    .await
                    .map_err(|e| wrong(e.to_string()))?,
            );
        }
        for answer in answers {
            let verdict = answer
                .await
                .map_err(|e| wrong(e.to_string()))?
                .map_err(|e| wrong(e.to_string()))?;
            for result in verdict.results {
                match (result.outcome, result.reason) {
                    (OutcomeKind::Applied | OutcomeKind::Merged, _) => created += 1,
                    (OutcomeKind::Rejected, Some(r)) if r.code == ErrorType::ConditionalCheckFailedException => {}
                    (OutcomeKind::Rejected, reason) => {
                        return Err(wrong(reason.map_or_else(|| "refused".to_owned(), |r| r.to_string())));
                    }
                }
            }
        }
    }
    Ok(created)
}

/// The name of the mutation that creates a record of `model`.
pub(crate) fn create_field(schema: &Schema, model: ModelId) -> Option<&str> {
    let creates = |root: &MutationRoot| *root == MutationRoot::Model(model, MutationKind::Create);
    schema
        .roots
        .mutation
        .iter()
        .find(|(_, root)| creates(root))
        .map(|(name, _)| name.as_str())
}
