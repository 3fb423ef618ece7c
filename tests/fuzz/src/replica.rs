//! A replica without its link, on a database in memory: each run works in a transaction that is then dropped.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tombolo_core::access::{Access, Identity};
use tombolo_core::id::ReplicaId;
use tombolo_core::query::{Document, OperationKind, QueryLimits, RootField, Side};
use tombolo_core::wire::batch::ChangeBatch;
use tombolo_machine::{
    CloseReason, Effect, FeedNumber, Input, Machine, NewMutation, Now, Scope, Settings, StepError, StoreError, StoreTx,
};
use tombolo_store::{Options, Store, Tx};

use crate::{check_json, schema};

/// What is asked after each run: every column of every model must still be readable.
pub const QUERIES: [&str; 2] = [
    "{ listTodos(limit: 1000) { items { id title note done rank price colour colours tags spot { x y name tags } \
     spots { x } meta day hour at stamp mail link list _version _deleted _lastChangedAt \
     lines { items { order number text of { id } } } } nextToken } }",
    "{ listLines(limit: 1000) { items { order number todo text } } listStricts { items { id text } } \
     listNewests { items { id text items } } \
     listTallies { items { id hits share marks best first word fixed } } }",
];

thread_local! {
    static KEPT: RefCell<Option<Store>> = const { RefCell::new(None) };
}

/// When everything happens.
pub const NOW: Now = Now {
    monotonic: Duration::from_secs(1),
    wall_ms: 1_356_998_400_000,
};

/// How stores of the targets are opened.
pub fn options() -> Options {
    Options::new(ReplicaId("11111111-1111-4111-8111-111111111111".to_owned()))
}

/// Gives `run` a transaction on a replica with a row, a row with an update that waits, and a create that waits.
pub fn with<T>(run: impl FnOnce(&mut Tx<'_>) -> T) -> T {
    KEPT.with_borrow_mut(|kept| {
        let store = kept.get_or_insert_with(|| {
            let mut store = Store::open_in_memory(Arc::clone(schema()), options()).expect("memory can be opened");
            let mut tx = store.begin(false).expect("memory can be written");
            fill(&mut tx);
            tx.commit().expect("memory can be written");
            store
        });
        let mut tx = store.begin(false).expect("memory can be written");
        run(&mut tx)
    })
}

/// Two todos from a server, an update of the second and a create, both waiting to be sent.
pub fn fill(tx: &mut Tx<'_>) {
    let mut machine = machine();
    for input in [Input::Start, Input::SetOnline(true), Input::LinkOpened] {
        step(&mut machine, tx, input).expect("a fresh replica starts");
    }
    for model in &schema().models {
        let scope = Scope {
            model: model.name.clone(),
            filter: None,
        };
        step(&mut machine, tx, Input::SetScope(scope)).expect("a scope is taken");
    }
    let feed = newest_feed(tx, &mut machine);
    let page = json!({
        "model": "Todo", "cursor": "e.7", "upToDate": true, "reset": false,
        "fields": ["id", "title", "rank", "_version", "_deleted", "_lastChangedAt"],
        "rows": [["a", "one", 1, 1, null, 5], ["b", "two", null, 2, null, 6]], "left": [],
    });
    let batch: ChangeBatch = serde_json::from_str(&page.to_string()).expect("a page");
    step(&mut machine, tx, Input::Batch { feed, batch }).expect("a page is taken");
    step(&mut machine, tx, Input::LinkClosed(CloseReason::Ended)).expect("a link may end");
    for text in MUTATIONS {
        step(&mut machine, tx, Input::Enqueue(vec![mutation(text)])).expect("a mutation is taken");
    }
}

/// What waits to be sent.
const MUTATIONS: [&str; 3] = [
    "mutation { updateTodo(input: { id: \"b\", title: \"edited\" }) { id } }",
    "mutation { createTodo(input: { id: \"c\", title: \"made here\", tags: [\"x\"] }) { id } }",
    "mutation { createTally(input: { id: \"y\", hits: 1, marks: [\"a\"] }) { id } }",
];

fn mutation(text: &str) -> NewMutation {
    let document = Document::parse(schema(), text, &QueryLimits::replica()).expect("a good document");
    let access = Access::of(schema(), &Identity::Local);
    let bound = document
        .bind(None, &serde_json::Map::new(), &access, Side::Replica)
        .expect("a good document");
    let input = bound.roots().iter().find_map(|root| match &root.field {
        RootField::Mutation(input) => Some(input),
        _ => None,
    });
    NewMutation::of(schema(), input.expect("a mutation"), String::new, None)
}

/// A machine that has not been started.
pub fn machine() -> Machine {
    Machine::new(Arc::clone(schema()), Settings::default())
}

/// A step whose transaction the caller commits or drops.
///
/// # Errors
/// The machine's; anything but a refusal of the input by name is a finding.
pub fn step(machine: &mut Machine, tx: &mut dyn StoreTx, input: Input) -> Result<Vec<Effect>, StepError> {
    match machine.step(tx, input, NOW) {
        Ok(step) => Ok(machine.install(step)),
        Err(error) => {
            assert!(
                !matches!(&error, StepError::Store(StoreError::Other(_) | StoreError::Corrupt(_))),
                "a store in memory failed: {error}"
            );
            Err(error)
        }
    }
}

/// The number of the subscription that is open: found by opening the link anew.
pub fn newest_feed(tx: &mut dyn StoreTx, machine: &mut Machine) -> FeedNumber {
    let mut newest = FeedNumber(0);
    for input in [
        Input::LinkClosed(CloseReason::Ended),
        Input::SetOnline(false),
        Input::SetOnline(true),
        Input::LinkOpened,
    ] {
        for effect in step(machine, tx, input).expect("a link may come and go") {
            if let Effect::Send(tombolo_machine::Outgoing::Subscribe { feed, .. }) = effect {
                newest = feed;
            }
        }
    }
    newest
}

/// Asks for everything; each answer must be JSON and the store must be able to give it.
pub fn check_queries(tx: &Tx<'_>) {
    for text in QUERIES {
        answer(tx, text).expect("the rows that were taken can be read");
    }
}

/// Answers a query within the transaction, if it is one.
///
/// # Errors
/// The store's.
pub fn answer(tx: &Tx<'_>, text: &str) -> Result<(), StoreError> {
    let Ok(document) = Document::parse(schema(), text, &QueryLimits::replica()) else {
        return Ok(());
    };
    let access = Access::of(schema(), &Identity::Local);
    let Ok(bound) = document.bind(None, &serde_json::Map::new(), &access, Side::Replica) else {
        return Ok(());
    };
    if bound.kind() == OperationKind::Query {
        check_json(&tx.answer(bound.execute())?.into_bytes(None));
    }
    Ok(())
}
