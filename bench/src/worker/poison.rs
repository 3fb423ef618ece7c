//! Poison: a queue in which some mutations cannot succeed. All others must, at the same speed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tombolo::{Client, MutationFilter, MutationNumber, MutationState};

use super::replica::{mutate, open, wait_until, words};
use super::{Place, Poison, Poisoned, Queue, peak};
use crate::data;
use crate::error::{Error, expect_count, failed};

const CREATE: &str = "mutation Create($input: CreateNoteInput!) { createNote(input: $input) { id } }";

/// With a condition: such a mutation is not folded into the one before it.
const EDIT: &str = "mutation Edit($input: UpdateNoteInput!, $condition: ModelNoteConditionInput) {
    updateNote(input: $input, condition: $condition) { id }
}";

/// What the poison that a server cannot decide says; `workload::poison` sets the server up to fail on it.
pub(crate) const POISON: &str = "poison";

/// Mutations in a chain of related ones.
const CHAIN: usize = 100;

/// Calls at once while queueing, which is not what is measured.
const CALLS: usize = 64;

/// Where each poison stands and what hangs on it.
struct Plan {
    queued: usize,
    records: usize,
    poison: BTreeSet<usize>,
    /// Mutations that depend on one of the poisoned, directly or not.
    dependents: u64,
}

impl Plan {
    fn of(queue: &Queue) -> Self {
        let queued = queue.queued;
        let records = if queue.related { (queued / CHAIN).max(6) } else { queued };
        let every = (queued / 10).max(1);
        let poison: BTreeSet<usize> = match queue.poison {
            Poison::None => BTreeSet::new(),
            // Never two in one chain.
            Poison::Refused | Poison::Undecidable => (0..queued / every)
                .map(|k| k * every + (k * 7 + 3) % every.min(records))
                .collect(),
        };
        let mut sick = BTreeSet::new();
        let mut dependents = 0;
        for place in 0..queued {
            if poison.contains(&place) {
                sick.insert(place % records);
            } else if sick.contains(&(place % records)) {
                dependents += 1;
            }
        }
        Self {
            queued,
            records,
            poison,
            dependents,
        }
    }
}

/// Queues all offline, goes online, waits until everything has ended that can.
pub(super) async fn run(place: &Place, queue: &Queue) -> Result<Poisoned, Error> {
    let plan = Plan::of(queue);
    let client = open(place, "poison", &["Note"], true).await?;
    if queue.related {
        for record in 0..plan.records {
            mutate(&client, CREATE, json!({ "input": data::note("poison", record) })).await?;
        }
        client.set_online(true).await.map_err(words)?;
        wait_until(&client, |status| status.pending == 0 && status.up_to_date).await?;
        client.set_online(false).await.map_err(words)?;
    }
    let (plan, queue) = (Arc::new(plan), queue.clone());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..CALLS {
        let (client, plan, queue) = (client.clone(), Arc::clone(&plan), queue.clone());
        tasks.spawn(async move {
            // What is of one record is of one task, in order.
            for place in (0..plan.queued).filter(|place| place % plan.records % CALLS == task) {
                enqueue(&client, &queue, &plan, place).await?;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| failed(e.to_string()))??;
    }
    expect_count("queued mutations", plan.queued as u64, client.status().borrow().pending)?;

    let poisoned = plan.poison.len() as u64;
    let left = match queue.poison {
        Poison::None | Poison::Refused => 0,
        Poison::Undecidable => poisoned + plan.dependents,
    };
    let start = Instant::now();
    client.set_online(true).await.map_err(words)?;
    wait_until(&client, |status| status.pending <= left).await?;
    let seconds = start.elapsed().as_secs_f64();

    let rejected = count(&client, MutationState::Rejected).await?;
    match queue.poison {
        Poison::None => expect_count("rejected mutations", 0, rejected)?,
        Poison::Refused => expect_count("rejected mutations", poisoned + plan.dependents, rejected)?,
        Poison::Undecidable => {
            expect_count("rejected mutations", 0, rejected)?;
            expect_count("mutations left", left, client.status().borrow().pending)?;
        }
    }
    let peak = peak();
    client.close().await;
    Ok(Poisoned {
        seconds,
        settled: plan.queued as u64 - left - rejected,
        poisoned,
        dependents: plan.dependents,
        peak,
    })
}

async fn enqueue(client: &Client, queue: &Queue, plan: &Plan, place: usize) -> Result<(), Error> {
    let is_poison = plan.poison.contains(&place);
    let mut input = data::note("poison", place % plan.records);
    if is_poison && queue.poison == Poison::Undecidable {
        input["text"] = json!(POISON);
    } else if queue.related {
        input["text"] = json!(format!("edit {place}"));
    }
    let author = if is_poison && queue.poison == Poison::Refused {
        "nobody"
    } else {
        "poison"
    };
    let condition = json!({ "author": { "eq": author } });
    if queue.related {
        return mutate(client, EDIT, json!({ "input": input, "condition": condition })).await;
    }
    if is_poison && queue.poison == Poison::Refused {
        // Of a record that is not there no condition holds.
        let document = CREATE.replace(
            "(input: $input)",
            "(input: $input, condition: { author: { eq: \"nobody\" } })",
        );
        return mutate(client, &document, json!({ "input": input })).await;
    }
    mutate(client, CREATE, json!({ "input": input })).await
}

async fn count(client: &Client, state: MutationState) -> Result<u64, Error> {
    let mut filter = MutationFilter::in_states([state]);
    let mut found = 0;
    loop {
        let page = client.mutations(filter.clone()).await.map_err(words)?;
        found += page.len() as u64;
        match page.last() {
            Some(last) if page.len() == filter.limit => filter.after = MutationNumber(last.number.0),
            Some(_) | None => return Ok(found),
        }
    }
}
