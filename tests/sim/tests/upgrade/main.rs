//! The upgrade matrix: every kind of schema change, met by a client that is older, as new as, or newer than the server by
//! up to five versions, with a queue that is empty, full, or in flight.
//!
//! A cell is kept if every queued mutation reaches its final state and none vanishes: applied, with every field that both
//! schemas know; or, where the change took its meaning, rejected with a reason that names the change, its payload still
//! listed. And if afterwards, both sides being of one schema, the replica holds what the server holds, having pulled
//! nothing again that it had.
//!
//! `cargo xtask matrix` prints the table.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, missing_docs)]

mod chain;
mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use tombolo_core::id::{FieldId, ModelId, MutationNumber};
use tombolo_core::record::Key;
use tombolo_core::schema::{Field, FieldKind, FieldOrigin, Model, MutationKind, Scalar, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::graphql::ErrorType;
use tombolo_machine::{EntryState, FinalOutcome, NewMutation};

use chain::{CHANGES, Change, Cost, STEPS};
use rig::{Loss, Replica, Server};

/// Which side is ahead while the queue goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// Still of the first version; the server has moved on.
    Older,
    /// Both have moved on while the queue waited.
    Same,
    /// The client has moved on; the server follows later.
    Newer,
}

/// What waits on the replica when the versions part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    Empty,
    Full,
    /// Sent, and the answer lost.
    InFlight,
}

const QUEUES: [Queue; 3] = [Queue::Empty, Queue::Full, Queue::InFlight];

/// A mutation as it was made.
struct Made {
    schema: Arc<Schema>,
    mutation: NewMutation,
}

/// A value of the field's type that is told apart by `salt`.
fn value(schema: &Schema, field: &Field, salt: usize) -> Value {
    let one = match &field.ty.kind {
        FieldKind::Enum(name) => {
            let values = &schema.enums[name];
            Json::from(values[salt % values.len()].as_str())
        }
        FieldKind::Scalar(Scalar::Int | Scalar::AwsTimestamp) => Json::from(salt),
        FieldKind::Scalar(Scalar::Float) => Json::from(salt as f64 + 0.5),
        FieldKind::Scalar(Scalar::AwsDate) => Json::from(format!("2024-01-{:02}", salt % 28 + 1)),
        FieldKind::Scalar(_) | FieldKind::Embedded(_) => Json::from(format!("{}-{salt}", field.name)),
    };
    let json = if field.ty.list.is_some() {
        Json::Array(vec![one])
    } else {
        one
    };
    field.ty.parse_json(schema, &json).unwrap()
}

/// A mutation of record `id`; an odd one leaves what may be left out.
fn mutation(schema: &Schema, model: ModelId, kind: MutationKind, id: &str, salt: usize) -> NewMutation {
    let shape = &schema[model];
    let mut values = Vec::new();
    for (place, field) in shape.fields.iter().enumerate() {
        let place = FieldId(place);
        let given = match kind {
            _ if shape.key.contains(&place) => Value::Text(id.to_owned()),
            MutationKind::Delete => continue,
            _ if !matches!(field.origin, FieldOrigin::Declared | FieldOrigin::ForeignKey) => continue,
            MutationKind::Create if salt % 2 == 1 && !field.ty.required => continue,
            MutationKind::Create | MutationKind::Update => value(schema, field, salt),
        };
        values.push((place, given));
    }
    NewMutation {
        model,
        kind,
        values,
        operations: Vec::new(),
        base_version: None,
        read: None,
        condition: None,
        author: None,
    }
}

/// Some records of each model, to be there before anything changes.
fn seed(replica: &mut Replica) {
    let schema = Arc::clone(&replica.schema);
    for model in (0..schema.models.len()).map(ModelId) {
        for n in 0..6 {
            replica.enqueue(vec![mutation(
                &schema,
                model,
                MutationKind::Create,
                &format!("s{n}"),
                n,
            )]);
        }
    }
}

/// Creations, updates, deletions and a transaction over every model; `tag` keeps two queues apart.
fn fill(replica: &mut Replica, made: &mut BTreeMap<MutationNumber, Made>, tag: &str, first: usize) {
    let schema = Arc::clone(&replica.schema);
    // What there is to update: nothing of a model that the server does not have yet.
    let there: Vec<bool> = schema
        .models
        .iter()
        .map(|model| {
            let key = Key(vec![Value::Text(format!("s{first}")); model.key.len()]);
            replica.row(&model.name, &key).is_some()
        })
        .collect();
    let mut enqueue = |mutations: Vec<NewMutation>| {
        let numbers = replica.enqueue(mutations.clone());
        for (number, mutation) in numbers.into_iter().zip(mutations) {
            // A folded one has the number of the entry that took it in: the newest stands for both.
            let schema = Arc::clone(&schema);
            made.insert(number, Made { schema, mutation });
        }
    };
    for model in (0..schema.models.len()).map(ModelId) {
        let one = |kind, id: String, salt| mutation(&schema, model, kind, &id, salt);
        for salt in [10, 11] {
            enqueue(vec![one(MutationKind::Create, format!("{tag}{salt}"), salt)]);
        }
        if !there[model.0] {
            continue;
        }
        enqueue(vec![one(MutationKind::Update, format!("s{first}"), 12)]);
        enqueue(vec![one(MutationKind::Update, format!("s{first}"), 13)]);
        enqueue(vec![one(MutationKind::Delete, format!("s{}", first + 1), 0)]);
        enqueue(vec![
            one(MutationKind::Create, format!("{tag}14"), 14),
            one(MutationKind::Update, format!("s{}", first + 2), 15),
        ]);
    }
}

/// One cell; `Err` says what was not kept.
fn cell(change: &Change, client: Client, by: usize, queue: Queue) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let (first, last) = (change.schema(0), change.schema(by));
    let mut server = Server::open(&folder.path().join("server.db"), &first);
    let mut replica = Replica::open(&folder.path().join("replica.db"), &first);
    seed(&mut replica);
    replica.sync(&mut server, Loss::Nothing);
    replica.offline();
    if !replica.outbox().is_empty() {
        return Err("the first sync did not end".into());
    }
    replica.ended.clear();

    let mut made = BTreeMap::new();
    if queue != Queue::Empty {
        fill(&mut replica, &mut made, "q", 0);
    }
    if queue == Queue::InFlight {
        replica.sync(&mut server, Loss::Everything);
        replica.offline();
    }
    let before = replica.outbox().len();
    match client {
        Client::Older => server = server.upgraded(&last),
        Client::Same => {
            server = server.upgraded(&last);
            replica.upgrade(&last);
        }
        Client::Newer => replica.upgrade(&last),
    }
    if replica.outbox().len() != before {
        return Err("the upgrade of the file changed the queue".into());
    }
    if client == Client::Newer && queue != Queue::Empty {
        // The new app goes on where the old one left off.
        fill(&mut replica, &mut made, "r", 3);
    }
    replica.sync(&mut server, Loss::Nothing);
    if client == Client::Newer {
        replica.offline();
        check_nothing_vanished(&mut replica, &made)?;
        server = server.upgraded(&last);
        replica.sync(&mut server, Loss::Nothing);
    }
    check_ends(change, &mut replica, &server, &made)?;

    // Now that the queue is done, both of one version: equal, and nothing pulled again that was there.
    replica.offline();
    replica.pulled = 0;
    replica.upgrade(&last);
    replica.sync(&mut server, Loss::Nothing);
    if change.cost != Cost::Meaning && replica.pulled > 0 {
        return Err(format!("{} rows were pulled again", replica.pulled));
    }
    check_equal(&mut replica, &server)
}

/// Each mutation is in the outbox or has ended.
fn check_nothing_vanished(replica: &mut Replica, made: &BTreeMap<MutationNumber, Made>) -> Result<(), String> {
    let listed: Vec<MutationNumber> = replica.outbox().iter().map(|entry| entry.number).collect();
    match made
        .keys()
        .find(|n| !listed.contains(n) && !replica.ended.contains_key(n))
    {
        Some(number) => Err(format!("mutation {number} vanished")),
        None => Ok(()),
    }
}

fn check_ends(
    change: &Change,
    replica: &mut Replica,
    server: &Server,
    made: &BTreeMap<MutationNumber, Made>,
) -> Result<(), String> {
    check_nothing_vanished(replica, made)?;
    let outbox = replica.outbox();
    for (number, made) in made {
        let listed = outbox.iter().find(|entry| entry.number == *number);
        match (replica.ended.get(number), listed) {
            (Some(FinalOutcome::Applied | FinalOutcome::Merged), None) => check_effect(server, made)?,
            (Some(FinalOutcome::Rejected(reason)), Some(entry)) => {
                let named = match reason.code {
                    ErrorType::SchemaChanged => change.cost == Cost::Meaning,
                    // Of the same transaction, or made on top of one that was rejected.
                    ErrorType::DependencyRejected => change.cost == Cost::Meaning,
                    _ => false,
                };
                let kept = matches!(entry.state, EntryState::Rejected(_)) && !entry.intent.values.is_empty();
                if !named || !kept {
                    return Err(format!("mutation {number} was rejected: {reason} ({:?})", entry.intent));
                }
            }
            (ended, listed) => {
                return Err(format!(
                    "mutation {number} has not ended: {ended:?}, {:?}",
                    listed.map(|e| &e.state)
                ));
            }
        }
    }
    Ok(())
}

/// The server holds what an applied mutation gave, in every field that both know, unless a later one changed it.
fn check_effect(server: &Server, made: &Made) -> Result<(), String> {
    let (was, mutation) = (&made.schema[made.mutation.model], &made.mutation);
    let Some(model) = server.schema.model_once_named(&was.name) else {
        return Ok(());
    };
    let shape = &server.schema[model];
    let text = |id: FieldId| &mutation.values.iter().find(|(f, _)| *f == id).unwrap().1;
    let key = Key(was.key.iter().map(|id| text(*id).clone()).collect()).to_text();
    let same_key = shape.key.len() == was.key.len()
        && was
            .key
            .iter()
            .zip(&shape.key)
            .all(|(a, b)| shape.field_once_named(&was.field_at(*a).name) == Some(*b));
    if !same_key {
        return Ok(());
    }
    let rows = server.rows(&shape.name);
    let row = rows
        .get(&key)
        .ok_or_else(|| format!("{key} of {} is not there", shape.name))?;
    let deleted = row["_deleted"] == true;
    if deleted != (mutation.kind == MutationKind::Delete) {
        return Err(format!("{key} of {}: deleted is {deleted}", shape.name));
    }
    for (field, value) in &mutation.values {
        let Some(now) = shape
            .field_once_named(&was.field_at(*field).name)
            .map(|id| shape.field_at(id))
        else {
            continue;
        };
        // An enum's value that was removed from the database by leave is gone from there too.
        let Ok(want) = now.ty.fit(&server.schema, &value.to_json()) else {
            continue;
        };
        let got = now.ty.value_from_json(&row[&now.name]);
        if got != want {
            return Err(format!(
                "{key} of {}: {} is {got:?}, not {want:?}",
                shape.name, now.name
            ));
        }
    }
    Ok(())
}

fn check_equal(replica: &mut Replica, server: &Server) -> Result<(), String> {
    for model in &Arc::clone(&server.schema).models {
        for (key, row) in server.rows(&model.name) {
            let shown = replica.row(&model.name, &Key::from_text(model, &key).unwrap());
            let Some(shown) = shown else {
                return Err(format!("the replica lacks {key} of {}", model.name));
            };
            check_row(model, &key, &row, &shown.values)?;
        }
    }
    Ok(())
}

fn check_row(model: &Model, key: &str, row: &BTreeMap<String, Json>, shown: &[Value]) -> Result<(), String> {
    for (field, shown) in model.fields.iter().zip(shown) {
        let held = field.ty.value_from_json(&row[&field.name]);
        let same = match (&held, shown) {
            // The text of a list may differ in its spaces.
            (Value::Json(a), Value::Json(b)) => serde_json::from_str::<Json>(a).ok() == serde_json::from_str(b).ok(),
            (a, b) => a == b,
        };
        if !same {
            return Err(format!(
                "{key} of {}: {} is {shown:?}, the server has {held:?}",
                model.name, field.name
            ));
        }
    }
    Ok(())
}

/// The columns of the table: who is ahead, and by how many versions.
fn columns() -> Vec<(Client, usize)> {
    let by = |client: Client, from: usize| (from..=STEPS).map(move |by| (client, by));
    by(Client::Older, 1)
        .chain(by(Client::Same, 0))
        .chain(by(Client::Newer, 1))
        .collect()
}

/// Three marks for a column: the queue empty, full, in flight.
fn row(change: &Change, failures: &mut Vec<String>) -> String {
    let mut cells = Vec::new();
    for (client, by) in columns() {
        let mut marks = String::new();
        for queue in QUEUES {
            let kept = std::panic::catch_unwind(|| cell(change, client, by, queue));
            let kept = kept.unwrap_or_else(|_| Err("it panicked, see above".into()));
            marks.push(if kept.is_ok() { '+' } else { '-' });
            if let Err(why) = kept {
                failures.push(format!("{}, {client:?} by {by}, {queue:?}: {why}", change.name));
            }
        }
        cells.push(marks);
    }
    cells.join(" ")
}

#[test]
fn every_cell_of_the_upgrade_matrix_is_kept() {
    // Half of the rows in each thread; the order of the table stays.
    let work = |part: usize| {
        move || {
            let mut failures = Vec::new();
            let rows: Vec<(usize, String)> = CHANGES
                .iter()
                .enumerate()
                .filter(|(place, _)| place % 2 == part)
                .map(|(place, change)| (place, row(change, &mut failures)))
                .collect();
            (rows, failures)
        }
    };
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let threads = [scope.spawn(work(0)), scope.spawn(work(1))];
        for thread in threads {
            let (some, failed) = thread.join().unwrap();
            rows.extend(some);
            failures.extend(failed);
        }
    });
    rows.sort();
    let width = CHANGES.iter().map(|change| change.name.len()).max().unwrap_or_default();
    println!("each column: queue empty, full, in flight; + kept, - not\n");
    println!(
        "{:width$}   client older by         both, by                    client newer by",
        ""
    );
    let head: Vec<String> = columns().iter().map(|(_, by)| format!("{by:<3}")).collect();
    println!("{:width$}   {}", "", head.join(" "));
    for (place, marks) in &rows {
        println!("{:width$}   {marks}", CHANGES[*place].name);
    }
    let cells = rows.len() * columns().len() * QUEUES.len();
    println!("\n{} of {cells} cells kept", cells - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
