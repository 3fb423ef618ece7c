//! The one thread that writes: it owns the database file and the sync machine. For each input it lets the machine decide
//! within a transaction, commits, installs the decision, and only then lets its effects go out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tombolo_core::id::MutationNumber;
use tombolo_core::record::{Key, Record};
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_machine::{Effect, Input, Machine, NewMutation, Now, Outgoing, StepError, StoreTx};
use tombolo_store::{Store, Tx};

use crate::Error;
use crate::hub::{Event, Hub};

/// The clock that the machine is told.
pub(crate) type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// A call of the app.
pub(crate) enum Command {
    /// Queue mutations in one transaction.
    Mutate(Vec<NewMutation>, oneshot::Sender<Result<Queued, Error>>),
    /// Give the machine an input.
    Step(Input, oneshot::Sender<Result<(), Error>>),
    /// Finish what came before, and end.
    Close(oneshot::Sender<()>),
}

/// What became of a call of [`Command::Mutate`].
pub(crate) struct Queued {
    pub numbers: Vec<MutationNumber>,
    /// The record of each mutation as the view has it after all of them.
    pub records: Vec<Option<Arc<Record>>>,
}

/// What the driver is to do.
#[derive(Debug)]
pub(crate) enum Order {
    Open,
    Close,
    Send(Outgoing),
    WakeAt(Duration),
}

pub(crate) struct Writer {
    schema: Arc<Schema>,
    file: Store,
    machine: Machine,
    clock: Clock,
    hub: Arc<Hub>,
    /// Not bounded by itself: the machine's window bounds the mutations, and each page is asked for after the last.
    orders: mpsc::UnboundedSender<Order>,
}

impl Writer {
    pub(crate) fn new(
        schema: Arc<Schema>,
        file: Store,
        machine: Machine,
        clock: Clock,
        hub: Arc<Hub>,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Self {
        Self {
            schema,
            file,
            machine,
            clock,
            hub,
            orders,
        }
    }

    /// Serves calls and link messages until the app closes or drops the client. Calls go first: nothing local waits for
    /// the network.
    pub(crate) fn run(mut self, mut calls: mpsc::Receiver<Command>, mut inputs: mpsc::Receiver<Input>) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
            tracing::error!("the writer thread cannot start");
            return;
        };
        let closing = runtime.block_on(async {
            loop {
                tokio::select! {
                    biased;
                    call = calls.recv() => match call {
                        None => break None,
                        Some(Command::Close(done)) => break Some(done),
                        Some(call) => self.call(call),
                    },
                    Some(input) = inputs.recv() => {
                        let (input, next) = gather(input, &mut inputs);
                        self.input(input);
                        if let Some(next) = next {
                            self.input(next);
                        }
                    }
                }
            }
        });
        self.hub.close();
        // The file is released, and calls are refused, before the caller of `close` goes on.
        drop((self, calls));
        if let Some(done) = closing {
            // The caller may have given up waiting.
            let _ = done.send(());
        }
    }

    fn call(&mut self, call: Command) {
        // A caller that has gone away meanwhile does not undo what it asked for.
        match call {
            Command::Mutate(mutations, reply) => drop(reply.send(self.mutate(mutations))),
            Command::Step(input, reply) => drop(reply.send(self.step(input).map_err(Error::from))),
            Command::Close(reply) => drop(reply),
        }
    }

    /// Carries out one input in a transaction of its own.
    pub(crate) fn step(&mut self, input: Input) -> Result<(), StepError> {
        self.transact(input, |_| Ok(()), |_, ()| Ok(())).map(|_| ())
    }

    fn transact<B, A, E: From<StepError>>(
        &mut self,
        input: Input,
        before: impl FnOnce(&mut dyn StoreTx) -> Result<B, E>,
        after: impl FnOnce(&mut dyn StoreTx, B) -> Result<A, E>,
    ) -> Result<(A, Vec<MutationNumber>), E> {
        let store = |error| E::from(StepError::Store(error));
        let durable = self.machine.durable(&input);
        let now = (self.clock)();
        let mut tx: Tx<'_> = self.file.begin(durable).map_err(store)?;
        let facts = before(&mut tx)?;
        let step = self.machine.step(&mut tx, input, now)?;
        let gained = after(&mut tx, facts)?;
        tx.commit().map_err(store)?;
        let effects = self.machine.install(step);
        Ok((gained, self.carry_out(effects)))
    }

    /// Lets effects go out; gives back the numbers of what was queued.
    fn carry_out(&mut self, effects: Vec<Effect>) -> Vec<MutationNumber> {
        let mut queued = Vec::new();
        for effect in effects {
            match effect {
                Effect::OpenLink => self.order(Order::Open),
                Effect::CloseLink => self.order(Order::Close),
                Effect::Send(message) => self.order(Order::Send(message)),
                Effect::WakeAt(moment) => self.order(Order::WakeAt(moment)),
                Effect::Changed(changes) => self.hub.changed(&changes),
                Effect::NeedToken => self.hub.event(Event::NeedsSignIn),
                Effect::Status(status) => drop(self.hub.status.send_replace(status)),
                Effect::Enqueued(numbers) => queued.extend(numbers),
                Effect::Decided { number, outcome } => self.hub.event(Event::Decided { number, outcome }),
                Effect::Wedged { number, reason } => self.hub.event(Event::Wedged { number, reason }),
                Effect::Pulled { rows, left, .. } => self.hub.pulled(rows + left),
                Effect::Stalled => self.hub.event(Event::Stalled),
            }
        }
        queued
    }

    fn order(&self, order: Order) {
        // Without a driver (the client is being dropped) nothing is sent any more.
        drop(self.orders.send(order));
    }

    /// A message of the link. What cannot be applied ends the link: the machine then tries again by its back-off, and no
    /// later page can pass the lost one.
    fn input(&mut self, input: Input) {
        let Err(error) = self.step(input) else { return };
        tracing::warn!(%error, "a message of the link could not be applied");
        self.order(Order::Close);
        let effects = self.machine.link_broken(&error.to_string(), (self.clock)());
        self.carry_out(effects);
    }

    fn mutate(&mut self, mutations: Vec<NewMutation>) -> Result<Queued, Error> {
        let schema = Arc::clone(&self.schema);
        let targets: Vec<_> = mutations
            .iter()
            .map(|m| (m.model, m.kind, key_of(&schema, m)))
            .collect();
        let before = |tx: &mut dyn StoreTx| check(tx, &schema, &targets);
        let after = |tx: &mut dyn StoreTx, before: Vec<Option<Record>>| {
            let mut records = Vec::with_capacity(targets.len());
            for ((model, kind, key), before) in targets.iter().zip(before) {
                let now = match key {
                    Some(key) => tx.view(*model, key).map_err(Error::from)?,
                    None => None,
                };
                let record = match (kind, now) {
                    (MutationKind::Delete, None) => before.map(deleted),
                    (MutationKind::Create | MutationKind::Update | MutationKind::Delete, now) => now,
                };
                records.push(record.map(Arc::new));
            }
            Ok(records)
        };
        let (records, numbers) = self.transact(Input::Enqueue(mutations), before, after)?;
        Ok(Queued { numbers, records })
    }
}

/// Takes the answers that are waiting behind an answer into one input, so that one commit serves them all; also gives the
/// input that ended them. Bounded by the channel.
fn gather(first: Input, inputs: &mut mpsc::Receiver<Input>) -> (Input, Option<Input>) {
    let Input::Answers(mut answers) = first else {
        return (first, None);
    };
    while let Ok(next) = inputs.try_recv() {
        match next {
            Input::Answers(more) => answers.extend(more),
            other => return (Input::Answers(answers), Some(other)),
        }
    }
    (Input::Answers(answers), None)
}

fn key_of(schema: &Schema, mutation: &NewMutation) -> Option<Key> {
    let model = schema.model(mutation.model);
    let given = |field| {
        mutation
            .values
            .iter()
            .find(|(f, v)| f == field && !v.is_null())
            .map(|(_, v)| v.clone())
    };
    model.key.iter().map(given).collect::<Option<Vec<_>>>().map(Key)
}

/// Refuses an update or a delete of what is not here; gives back the records as they were.
fn check(
    tx: &mut dyn StoreTx,
    schema: &Schema,
    targets: &[(tombolo_core::id::ModelId, MutationKind, Option<Key>)],
) -> Result<Vec<Option<Record>>, Error> {
    let mut made = BTreeSet::new();
    let mut found = Vec::with_capacity(targets.len());
    for (model, kind, key) in targets {
        // A mutation without its key is refused by the machine, in words of its own.
        let Some(key) = key else {
            found.push(None);
            continue;
        };
        let record = tx.view(*model, key).map_err(Error::from)?;
        let name = (*model, key.to_text());
        match kind {
            MutationKind::Create => {
                made.insert(name);
            }
            MutationKind::Update | MutationKind::Delete => {
                let here = made.contains(&name) || record.as_ref().is_some_and(|r| !r.meta.deleted);
                if !here {
                    return Err(Error::UnknownRecord {
                        model: schema.model(*model).name.clone(),
                    });
                }
            }
        }
        found.push(record);
    }
    Ok(found)
}

fn deleted(mut record: Record) -> Record {
    record.meta.deleted = true;
    record
}
