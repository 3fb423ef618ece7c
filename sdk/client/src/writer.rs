//! The one thread that writes: it owns the database file and the sync machine. For each input it lets the machine decide
//! within a transaction, commits, installs the decision, and only then lets its effects go out. What concerns other processes
//! on the file, and letting go of it, is in `suspend`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tombolo_core::id::MutationNumber;
use tombolo_core::record::{Key, Record};
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_machine::{
    Effect, Input, Machine, NewMutation, Now, OutboxCounts, Outgoing, Renumbered, StepError, StoreError, StoreTx,
};
use tombolo_store::{Options, Reader, Store, Tx};
use tombolo_transport::Transport;

use crate::hub::{Event, Hub, Standing};
use crate::import::Importing;
use crate::limits::GATHERED_CALLS_MAX;
use crate::readers::{self, Questions};
use crate::records::{SavedAs, Saving};
use crate::suspend::{self, Sealed, Sealing};
use crate::switch::Switch;
use crate::{Error, limits};

/// The clock that the machine is told.
pub(crate) type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// A call of the app.
pub(crate) enum Command {
    /// Queue mutations in one transaction.
    Mutate(Work, oneshot::Sender<Result<Queued, Error>>),
    /// Give the machine an input that may queue mutations anew; answered with their numbers.
    Redo(Input, oneshot::Sender<Result<Vec<MutationNumber>, Error>>),
    /// Give the machine an input.
    Step(Input, oneshot::Sender<Result<(), Error>>),
    /// A link is wanted for a round; not of a suspended client.
    GoOnline(oneshot::Sender<Result<(), Error>>),
    /// The app wants a link, or none. A suspended client has it as it was said last when it is resumed.
    SetOnline(bool, oneshot::Sender<Result<(), Error>>),
    /// Go by another transport.
    SetTransport(Switch, oneshot::Sender<Result<(), Error>>),
    /// Let go of the file and the link; answered when both are gone.
    Suspend(oneshot::Sender<()>),
    /// Take them up again; gives new readers.
    Resume(oneshot::Sender<Result<Vec<Reader>, Error>>),
    /// Seal the file, and end.
    SignOut(Sealing, oneshot::Sender<Result<OutboxCounts, Error>>),
    /// Finish what came before, and end.
    Close(oneshot::Sender<()>),
}

/// What a call wants to have queued.
pub(crate) enum Work {
    Mutations(Vec<NewMutation>),
    /// What it takes for a record to be as the app has it.
    Save(Box<Saving>),
}

/// What became of a call of [`Command::Mutate`].
pub(crate) struct Queued {
    pub numbers: Vec<MutationNumber>,
    /// For a save: what it came to.
    pub saved: Option<SavedAs>,
    /// The record of each mutation as the view has it after all of them.
    pub records: Vec<Option<Arc<Record>>>,
}

/// What the driver is to do.
pub(crate) enum Order {
    /// Open a link, by this number.
    Open(LinkNumber),
    Close,
    /// Open links by this transport from now on.
    Go(Arc<dyn Transport>),
    Send(Outgoing),
    WakeAt(Duration),
    /// Keep no connection; then say so.
    Park(oneshot::Sender<()>),
}

/// The links of a client, numbered in the order in which they were ordered. What a link reports bears its number: the end
/// of an old one, still on its way to the writer, must not be taken for that of its successor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkNumber(u64);

/// What the driver has to say.
pub(crate) struct Report {
    pub link: LinkNumber,
    /// With [`Input::LinkOpened`]: what the link goes by.
    pub transport: Option<&'static str>,
    pub input: Input,
}

impl Report {
    /// Whether it is about a link that has been given up since.
    fn is_late(&self, now: LinkNumber) -> bool {
        self.link != now && matches!(self.input, Input::LinkOpened | Input::LinkClosed(_))
    }
}

/// Where the file is and how it is opened.
#[derive(Clone)]
pub(crate) struct Place {
    pub path: PathBuf,
    pub options: Options,
}

/// What the writer shares with the rest of the client.
#[derive(Clone)]
pub(crate) struct Ends {
    pub clock: Clock,
    pub hub: Arc<Hub>,
    /// Not bounded by itself: the machine's window bounds the mutations, and each page is asked for after the last.
    pub orders: mpsc::UnboundedSender<Order>,
    pub questions: Questions,
}

pub(crate) struct Writer {
    pub(crate) schema: Arc<Schema>,
    pub(crate) place: Place,
    /// `None` while suspended.
    pub(crate) file: Option<Store>,
    pub(crate) machine: Machine,
    pub(crate) ends: Ends,
    /// The app wants a link, whether or not this process may have it.
    pub(crate) wants_link: bool,
    /// Another process has signed out of the file.
    pub(crate) signed_out: bool,
    /// In whose name mutations are made.
    pub(crate) author: Option<String>,
    /// A DataStore file that was taken over.
    pub(crate) importing: Option<Importing>,
    /// The link that was ordered last, and what it goes by once it is open.
    link: LinkNumber,
    pub(crate) transport: Option<&'static str>,
    /// The file's version as of which those who wait for a final state have looked.
    data_version: i64,
}

/// Who waits for the writer's end.
enum Ending {
    Nobody,
    Close(oneshot::Sender<()>),
    SignOut(Sealed, oneshot::Sender<Result<OutboxCounts, Error>>),
}

impl Writer {
    pub(crate) fn new(schema: Arc<Schema>, place: Place, file: Store, machine: Machine, ends: Ends) -> Self {
        Self {
            schema,
            place,
            file: Some(file),
            machine,
            ends,
            wants_link: false,
            signed_out: false,
            author: None,
            importing: None,
            link: LinkNumber::default(),
            transport: None,
            data_version: 0,
        }
    }

    /// Serves calls and link messages until the app closes or drops the client. Calls go first: nothing local waits for
    /// the network.
    pub(crate) fn run(mut self, mut calls: mpsc::Receiver<Command>, mut reports: mpsc::Receiver<Report>) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
            tracing::error!("the writer thread cannot start");
            return;
        };
        let ending = runtime.block_on(async {
            let mut look = tokio::time::interval(limits::OTHERS_POLL);
            look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    _ = look.tick(), if self.file.is_some() => self.look_at_others(),
                    call = calls.recv() => match call {
                        None => break Ending::Nobody,
                        Some(call) => match self.calls(call, &mut calls) {
                            Some(Command::Close(done)) => break Ending::Close(done),
                            Some(Command::SignOut(sealing, reply)) => match self.seal(sealing) {
                                Ok(sealed) => break Ending::SignOut(sealed, reply),
                                Err(error) => drop(reply.send(Err(error))),
                            },
                            Some(next) => self.call(next),
                            None => {}
                        },
                    },
                    Some(report) = reports.recv() => {
                        let (report, next) = gather(report, &mut reports);
                        self.report(report);
                        if let Some(next) = next {
                            self.report(next);
                        }
                    }
                }
                if self.signed_out {
                    break Ending::Nobody;
                }
            }
        });
        let by_us = matches!(ending, Ending::SignOut(..));
        self.ends.hub.set_standing(if self.signed_out || by_us {
            Standing::SignedOut
        } else {
            Standing::Closed
        });
        if self.signed_out {
            self.ends.hub.event(Event::SignedOut);
        }
        // A driver that waits to report something must not be waited for.
        drop(reports);
        let (parked, parking) = oneshot::channel();
        self.order(Order::Park(parked));
        let Self { file, place, ends, .. } = self;
        runtime.block_on(async {
            // The readers first: the connection that closes last tidies the file.
            readers::end(&ends.questions).await;
            drop(file);
            if by_us {
                // Without a driver there is nothing to wait for.
                drop(parking.await);
            }
        });
        ends.hub.close();
        // The file is released, and calls are refused, before the caller of `close` goes on.
        drop((ends, calls));
        match ending {
            Ending::Nobody => {}
            Ending::Close(done) => drop(done.send(())),
            Ending::SignOut(sealed, reply) => {
                if sealed.remove {
                    suspend::remove(&place);
                }
                drop(reply.send(Ok(sealed.counts)));
            }
        }
    }

    fn call(&mut self, call: Command) {
        // A caller that has gone away meanwhile does not undo what it asked for.
        match call {
            Command::Suspend(parked) => self.suspend(parked),
            Command::Resume(reply) => drop(reply.send(self.resume())),
            Command::Redo(_, reply) if self.file.is_none() => drop(reply.send(Err(Error::Suspended))),
            Command::Step(_, reply) | Command::GoOnline(reply) if self.file.is_none() => {
                drop(reply.send(Err(Error::Suspended)));
            }
            Command::SetOnline(online, reply) if self.file.is_none() => {
                self.wants_link = online;
                drop(reply.send(Ok(())));
            }
            Command::Mutate(mutations, reply) => self.mutate_all(vec![(mutations, reply)]),
            Command::Redo(input, reply) => drop(reply.send(self.redo(input))),
            Command::Step(input, reply) => drop(reply.send(self.step(input).map_err(Error::from))),
            Command::GoOnline(reply) => drop(reply.send(self.set_online(true))),
            Command::SetOnline(online, reply) => drop(reply.send(self.set_online(online))),
            Command::SetTransport(switch, reply) => drop(reply.send(self.switch(switch))),
            Command::SignOut(_, reply) => drop(reply.send(Err(Error::Suspended))),
            Command::Close(reply) => drop(reply),
        }
    }

    /// Carries out calls of `mutate` that wait one behind the other: one commit serves them all. Gives back the call that is
    /// none or that ended them.
    fn calls(&mut self, first: Command, calls: &mut mpsc::Receiver<Command>) -> Option<Command> {
        let Command::Mutate(mutations, reply) = first else {
            return Some(first);
        };
        let mut waiting = vec![(mutations, reply)];
        let mut next = None;
        while waiting.len() < GATHERED_CALLS_MAX {
            match calls.try_recv() {
                Ok(Command::Mutate(mutations, reply)) => waiting.push((mutations, reply)),
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.mutate_all(waiting);
        next
    }

    /// Carries out one input in a transaction of its own.
    pub(crate) fn step(&mut self, input: Input) -> Result<(), StepError> {
        self.take(input).map(drop)
    }

    fn redo(&mut self, input: Input) -> Result<Vec<MutationNumber>, Error> {
        Ok(self.take(input)?)
    }

    fn take(&mut self, input: Input) -> Result<Vec<MutationNumber>, StepError> {
        let durable = self.machine.durable(&input);
        let now = (self.ends.clock)();
        let file = self.file.as_mut().ok_or(StepError::NotStarted)?;
        let mut tx = file
            .begin(durable)
            .inspect_err(|error| self.signed_out |= matches!(error, StoreError::SignedOut))?;
        let step = match self.machine.step(&mut tx, input, now) {
            Ok(step) => step,
            Err(error) => {
                drop(tx);
                note_damage(file, &error);
                return Err(error);
            }
        };
        tx.commit()?;
        let effects = self.machine.install(step);
        // First, so that the report is right when the status says that nothing is left.
        self.look_at_import();
        Ok(self.carry_out(effects))
    }

    /// Lets effects go out; gives back the numbers of what was queued.
    pub(crate) fn carry_out(&mut self, effects: Vec<Effect>) -> Vec<MutationNumber> {
        let version = self.machine.data_version();
        if std::mem::replace(&mut self.data_version, version) != version {
            // Another process may have been told how something ended.
            self.ends.hub.wake_all();
        }
        let mut queued = Vec::new();
        for effect in effects {
            match effect {
                Effect::OpenLink => {
                    self.link = LinkNumber(self.link.0 + 1);
                    self.order(Order::Open(self.link));
                }
                Effect::CloseLink => self.order(Order::Close),
                Effect::Send(message) => self.order(Order::Send(message)),
                Effect::WakeAt(moment) => self.order(Order::WakeAt(moment)),
                Effect::Changed(changes) => self.ends.hub.changed(&changes),
                Effect::NeedToken => self.ends.hub.event(Event::NeedToken),
                Effect::Status(_) => self.tell_status(),
                Effect::Enqueued(numbers) => queued.extend(numbers),
                Effect::Decided { number, outcome } => self.ends.hub.event(Event::Decided { number, outcome }),
                Effect::Wedged { number, reason } => self.ends.hub.event(Event::Wedged { number, reason }),
                Effect::Pulled { rows, left, .. } => self.ends.hub.pulled(rows + left),
                Effect::Stalled => self.ends.hub.event(Event::Stalled),
                Effect::Renewed { replica } => self.ends.hub.event(Event::ReplicaRenewed { replica: replica.0 }),
                Effect::Renumbered(Renumbered { low, high, by }) => {
                    self.ends.hub.event(Event::Renumbered { low, high, by });
                }
            }
        }
        queued
    }

    /// Without a driver (there is no URL, or the client is being dropped) nothing is sent any more; who waits for an answer
    /// hears that there is none.
    pub(crate) fn order(&self, order: Order) {
        drop(self.ends.orders.send(order));
    }

    /// A message of the link. What cannot be applied ends the link: the machine then tries again by its back-off, and no
    /// later page can pass the lost one.
    fn report(&mut self, report: Report) {
        if self.file.is_none() || report.is_late(self.link) {
            // Of a link that is just being given up; what it said will be said again.
            return;
        }
        if report.transport.is_some() {
            self.transport = report.transport;
        }
        let Err(error) = self.step(report.input) else { return };
        tracing::warn!(%error, "a message of the link could not be applied");
        self.order(Order::Close);
        let effects = self.machine.link_broken(&error.to_string(), (self.ends.clock)());
        self.carry_out(effects);
    }

    /// Carries out calls of `mutate` in one transaction, each for itself: one that is refused takes nothing from the others.
    fn mutate_all(&mut self, calls: Vec<Call>) {
        let memory = self.machine.remember();
        let (work, replies): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        match self.queue(work) {
            Ok((results, effects)) => {
                // First, so that the status that a caller looks at knows of its call.
                self.carry_out(effects);
                for (reply, result) in replies.into_iter().zip(results) {
                    // A caller that has gone away meanwhile does not undo what it asked for.
                    let _ = reply.send(result);
                }
            }
            Err(error) => {
                self.machine.recall(memory);
                if let Some(file) = &self.file {
                    note_damage(file, &StepError::Store(again(&error)));
                }
                for reply in replies {
                    let _ = reply.send(Err(Error::from(again(&error))));
                }
            }
        }
    }

    /// Gives the result of each call, and what is to go out now that they are committed.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once by the one caller")]
    fn queue(&mut self, calls: Vec<Work>) -> Result<(Vec<Result<Queued, Error>>, Vec<Effect>), StoreError> {
        let durable = self.machine.durable(&Input::Enqueue(Vec::new()));
        let now = (self.ends.clock)();
        let many = calls.len() > 1;
        let Some(file) = &mut self.file else {
            return Ok((calls.iter().map(|_| Err(Error::Suspended)).collect(), Vec::new()));
        };
        let mut tx: Tx<'_> = file
            .begin(durable)
            .inspect_err(|error| self.signed_out |= matches!(error, StoreError::SignedOut))?;
        let (mut results, mut effects) = (Vec::with_capacity(calls.len()), Vec::new());
        for work in calls {
            if many {
                tx.mark()?;
            }
            match mutate(&mut self.machine, &self.schema, &mut tx, work, now) {
                Ok((queued, more)) => {
                    if many {
                        tx.forget_mark()?;
                    }
                    effects.extend(more);
                    results.push(Ok(queued));
                }
                // Alone, the transaction is dropped.
                Err(Error::Store(error)) if !many => return Err(error),
                Err(error) if !many => return Ok((vec![Err(error)], Vec::new())),
                Err(error) => {
                    match (tx.undo_to_mark(), error) {
                        (Ok(()), error) => results.push(Err(error)),
                        // After some failures (a full disk) nothing is left of the transaction: that one is what happened.
                        (Err(_), Error::Store(error)) | (Err(error), _) => return Err(error),
                    }
                }
            }
        }
        tx.commit()?;
        Ok((results, effects))
    }
}

/// A call of `mutate` and where its answer goes.
type Call = (Work, oneshot::Sender<Result<Queued, Error>>);

/// The same error for each of several callers.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full => StoreError::Full,
        StoreError::ReadOnly => StoreError::ReadOnly,
        StoreError::SignedOut => StoreError::SignedOut,
        StoreError::Corrupt(words) => StoreError::Corrupt(words.clone()),
        StoreError::Busy(words) => StoreError::Busy(words.clone()),
        StoreError::BadBatch(words) => StoreError::BadBatch(words.clone()),
        StoreError::BadFilter(words) => StoreError::BadFilter(words.clone()),
        StoreError::Other(words) => StoreError::Other(words.clone()),
    }
}

/// One call: checked, queued, its records read. The machine takes the step in before the commit; whoever calls this has it
/// remember what it was.
fn mutate(
    machine: &mut Machine,
    schema: &Schema,
    tx: &mut Tx<'_>,
    work: Work,
    now: Now,
) -> Result<(Queued, Vec<Effect>), Error> {
    let (mutations, saved) = match work {
        Work::Mutations(mutations) => (mutations, None),
        Work::Save(saving) => {
            let (mutation, saved, record) = saving.plan(schema, tx)?;
            let Some(mutation) = mutation else {
                let queued = Queued {
                    numbers: Vec::new(),
                    saved: Some(saved),
                    records: vec![record.map(Arc::new)],
                };
                return Ok((queued, Vec::new()));
            };
            (vec![mutation], Some(saved))
        }
    };
    let targets: Vec<_> = mutations.iter().map(|m| (m.model, m.kind, key_of(schema, m))).collect();
    let before = check(tx, schema, &targets)?;
    let step = machine.step(tx, Input::Enqueue(mutations), now)?;
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
    let (mut numbers, mut effects) = (Vec::new(), machine.install(step));
    for effect in &mut effects {
        if let Effect::Enqueued(queued) = effect {
            numbers.append(queued);
        }
    }
    let queued = Queued {
        numbers,
        saved,
        records,
    };
    Ok((queued, effects))
}

/// A file that turns out to be damaged in the middle of its use may open again as if nothing were: the note sees to it that
/// it is salvaged then.
fn note_damage(file: &Store, error: &StepError) {
    if let StepError::Store(StoreError::Corrupt(problem)) = error
        && let Err(error) = file.mark_damaged(problem)
    {
        tracing::warn!(%error, "the file is damaged, and that cannot be noted beside it");
    }
}

/// Takes the answers that are waiting behind an answer into one input, so that one commit serves them all; also gives the
/// input that ended them. Bounded by the channel.
fn gather(mut first: Report, reports: &mut mpsc::Receiver<Report>) -> (Report, Option<Report>) {
    if let Input::Answers(answers) = &mut first.input {
        while let Ok(mut next) = reports.try_recv() {
            match &mut next.input {
                Input::Answers(more) => answers.append(more),
                _ => return (first, Some(next)),
            }
        }
    }
    (first, None)
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
