//! The two calls: [`Machine::step`] decides and writes, [`Machine::install`] remembers.

use std::sync::Arc;

use tombolo_core::id::MutationNumber;
use tombolo_core::limits::REQUEST_BYTES_MAX;
use tombolo_core::schema::Schema;
use tombolo_core::wire::envelope::RejectReason;

use crate::context::{Context, References};
use crate::effect::{ChangeSet, Effect, Status};
use crate::import::ImportedMutation;
use crate::input::{Input, Now};
use crate::limits::{ATOMIC_MUTATIONS_MAX, IN_FLIGHT_MAX, NO_PROGRESS_MAX, OUTBOX_ENTRIES_MAX, SEEN_MAX};
use crate::state::{Feed, Link, State};
use crate::store::{StoreError, StoreTx};
use crate::{answers, feed, import, link, outbox, pace, redo, refresh};

/// How a machine behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Seed of the back-off's jitter: any number that differs between devices.
    pub seed: u64,
    /// The driver commits [`Input::Enqueue`] durably ([`Input::durable`]); then a mutation made with an open link is sent
    /// in the same step. Otherwise it goes out in the next one.
    pub durable_enqueue: bool,
    /// A base sync goes by [`crate::Outgoing::FetchPage`] before the subscription begins.
    pub base_sync_by_pages: bool,
    /// In whose name the link speaks. A mutation of another author is never sent; one without an author always may be.
    pub author: Option<String>,
    /// Most entries of the outbox ([`OUTBOX_ENTRIES_MAX`]).
    pub outbox_entries_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            durable_enqueue: true,
            base_sync_by_pages: false,
            author: None,
            outbox_entries_max: OUTBOX_ENTRIES_MAX,
        }
    }
}

/// The replica's sync state machine.
#[derive(Debug)]
pub struct Machine {
    schema: Arc<Schema>,
    settings: Settings,
    references: References,
    state: State,
}

/// What a step decided. Of no effect until [`Machine::install`]; dropping it forgets it.
#[derive(Debug)]
#[must_use = "commit the transaction, then install the step; or drop both"]
pub struct Step {
    state: State,
    effects: Vec<Effect>,
}

/// What a machine knew at one moment; see [`Machine::remember`].
#[derive(Debug)]
pub struct Memory(State);

/// Why an input was not carried out. The transaction is to be dropped; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An input before [`Input::Start`].
    #[error("the replica has not been started")]
    NotStarted,
    /// The schema has no such model.
    #[error("the schema has no model `{0}`")]
    UnknownModel(String),
    /// A mutation without its whole key.
    #[error("a mutation of {model} needs its key field `{field}`")]
    MissingKey {
        /// The model.
        model: String,
        /// The field.
        field: String,
    },
    /// The mutation cannot succeed; it was not enqueued.
    #[error(transparent)]
    Refused(RejectReason),
    /// An atomic transaction beyond [`ATOMIC_MUTATIONS_MAX`].
    #[error("a transaction takes {ATOMIC_MUTATIONS_MAX} mutations at most, this one has {given}")]
    TooManyMutations {
        /// How many.
        given: usize,
    },
    /// A mutation or an atomic transaction beyond [`REQUEST_BYTES_MAX`], which no server would read.
    #[error(
        "the mutations of one request may have {REQUEST_BYTES_MAX} bytes of JSON, these have {bytes}; keep large \
             content in a file store and its address in the record, or split the transaction"
    )]
    RequestTooLarge {
        /// How many, about.
        bytes: usize,
    },
    /// A mutation or an atomic transaction on top of more than [`SEEN_MAX`] unsettled ones, which no server would read.
    #[error(
        "the mutations of one request may stand on {SEEN_MAX} earlier ones of the same records that the server has not \
             confirmed yet, these stand on {given}; connect and let them be sent, or make the transaction smaller"
    )]
    TooManyEarlier {
        /// How many.
        given: usize,
    },
    /// No such entry.
    #[error("the outbox has no mutation {0}; it may have been settled meanwhile")]
    UnknownMutation(MutationNumber),
    /// Only a rejected or wedged mutation can be tried again; one on its way is tried until it ends.
    #[error("mutation {0} is neither rejected nor wedged; only such a one can be tried again")]
    NotRetryable(MutationNumber),
    /// The outbox holds as many mutations as it may.
    #[error(
        "the outbox is full: it holds {most} mutations that the server has not taken or the app has not taken note of; \
             connect and let them be sent, or discard what is rejected or wedged"
    )]
    OutboxFull {
        /// How many it may hold.
        most: u64,
    },
    /// A mutation that the server may have carried out cannot be taken back.
    #[error("mutation {0} has been sent and cannot be discarded; wait for the server's answer")]
    NotDiscardable(MutationNumber),
}

impl Machine {
    /// A machine that knows nothing yet: give it [`Input::Start`] first.
    #[must_use]
    pub fn new(schema: Arc<Schema>, settings: Settings) -> Self {
        let references = References::new(&schema);
        let state = State::new(settings.seed);
        Self {
            schema,
            settings,
            references,
            state,
        }
    }

    /// How the replica stands, as of the last installed step.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.state.status
    }

    /// [`StoreTx::data_version`] as of the last installed step: when the store's has moved, [`Input::Refresh`] is due.
    #[must_use]
    pub fn data_version(&self) -> i64 {
        self.state.data_version
    }

    /// The link, as of the last installed step.
    #[must_use]
    pub fn link(&self) -> Link {
        self.state.link
    }

    /// Whether the commit of this input's transaction must reach the disk ([`Input::durable`]).
    #[must_use]
    pub fn durable(&self, input: &Input) -> bool {
        input.durable(self.settings.durable_enqueue)
    }

    fn context<'a>(&'a self, tx: &'a mut dyn StoreTx, now: Now) -> Context<'a> {
        Context {
            tx,
            schema: &self.schema,
            settings: &self.settings,
            references: &self.references,
            now,
            state: self.state.clone(),
            effects: Vec::new(),
            changes: ChangeSet::default(),
            progress: false,
            wake_now: false,
            ended: false,
        }
    }

    /// How many more entries the outbox has room for. Another client's queue is taken however long it is; what is made of its
    /// records is not to go beyond this.
    #[must_use]
    pub fn import_room(&self) -> u64 {
        let most = self.settings.outbox_entries_max;
        most.saturating_sub(self.state.counts.total())
    }

    /// Takes mutations of another client's queue into the outbox, in their order, each as an entry of its own. Gives for each
    /// its number, or why it cannot become an entry; the others are taken all the same. The transaction is to be a durable
    /// one.
    ///
    /// # Errors
    /// The store failed: drop `tx`, nothing has changed.
    pub fn import(
        &self,
        tx: &mut dyn StoreTx,
        mutations: Vec<ImportedMutation>,
        now: Now,
    ) -> Result<(Step, Vec<Result<MutationNumber, String>>), StepError> {
        if !self.state.started {
            return Err(StepError::NotStarted);
        }
        let mut cx = self.context(tx, now);
        if cx.tx.data_version()? != self.state.data_version {
            refresh::refresh(&mut cx)?;
        }
        let taken = import::import(&mut cx, mutations)?;
        // What the caller has laid in beside them.
        for model in &self.schema.models {
            cx.changes.add_all(&model.name);
        }
        send_or_wake(&mut cx)?;
        Ok((finish(cx), taken))
    }

    /// Decides what `input` means and writes it through `tx`.
    ///
    /// # Errors
    /// The input was refused or the store failed: drop `tx`, nothing has changed.
    pub fn step(&self, tx: &mut dyn StoreTx, input: Input, now: Now) -> Result<Step, StepError> {
        if !self.state.started && !matches!(input, Input::Start) {
            return Err(StepError::NotStarted);
        }
        let mut cx = self.context(tx, now);
        if self.state.started && cx.tx.data_version()? != self.state.data_version {
            refresh::refresh(&mut cx)?;
        }
        match input {
            Input::Start => start(&mut cx)?,
            Input::SetOnline(online) => link::set_online(&mut cx, online),
            Input::LinkOpened => link::opened(&mut cx)?,
            Input::LinkClosed(reason) => link::closed(&mut cx, &reason),
            Input::Batch { feed, batch } => feed::batch(&mut cx, feed, &batch)?,
            Input::FeedRefused { feed, errors } => link::feed_refused(&mut cx, feed, &errors)?,
            Input::Answers(answers) => {
                for (number, answer) in answers {
                    answers::answer(&mut cx, number, answer)?;
                }
            }
            Input::Enqueue(mutations) => {
                outbox::enqueue(&mut cx, mutations)?;
                send_or_wake(&mut cx)?;
            }
            Input::Retry(number) => {
                redo::retry(&mut cx, number)?;
                send_or_wake(&mut cx)?;
            }
            Input::Edit { number, values } => {
                redo::edit(&mut cx, number, &values)?;
                send_or_wake(&mut cx)?;
            }
            Input::Discard(number) => {
                redo::discard(&mut cx, number)?;
                send_or_wake(&mut cx)?;
            }
            Input::SetScope(scope) => feed::set_scope(&mut cx, scope)?,
            Input::RemoveScope(model) => feed::remove_scope(&mut cx, &model)?,
            Input::TokenChanged => link::reopen(&mut cx),
            Input::TransportChanged => link::transport_changed(&mut cx),
            Input::Received => {
                if let Some(since) = &mut cx.state.owed_since {
                    *since = now.monotonic;
                }
            }
            Input::Wake => {
                cx.state.wake_at = None;
                cx.state.send_since = None;
                link::wake(&mut cx)?;
            }
            Input::Refresh => {
                refresh::refresh(&mut cx)?;
                link::send(&mut cx)?;
            }
        }
        cx.trim_ended()?;
        Ok(finish(cx))
    }

    /// Gives the link up without a transaction: for the driver whose store could not take in what the link brought.
    /// After a page that was not applied no later page may be, or the cursor would pass it. What then still arrives is
    /// dropped; the link is opened anew after the back-off, and the feed goes on from the cursor.
    #[must_use]
    pub fn link_broken(&mut self, message: &str, now: Now) -> Vec<Effect> {
        let mut effects = match self.state.link {
            Link::Opening | Link::Open { .. } => vec![Effect::CloseLink],
            // The wake-up itself may be what failed; it is not given again.
            Link::Waiting { .. } => Vec::new(),
            Link::Offline | Link::Paused => return Vec::new(),
        };
        let mut state = self.state.clone();
        state.fail("store", message, now);
        state.wake_at = None;
        tell(&mut state, &mut effects);
        self.install(Step { state, effects })
    }

    /// The machine's memory as of the last installed step, for a driver that installs several steps before one commit.
    #[must_use]
    pub fn remember(&self) -> Memory {
        Memory(self.state.clone())
    }

    /// Goes back to what was remembered: the commit has failed, and with it every step since.
    pub fn recall(&mut self, memory: Memory) {
        self.state = memory.0;
    }

    /// Takes in a step whose transaction has been committed, and gives what is to be done.
    #[must_use]
    pub fn install(&mut self, step: Step) -> Vec<Effect> {
        self.state = step.state;
        step.effects
    }
}

fn start(cx: &mut Context<'_>) -> Result<(), StepError> {
    if std::mem::replace(&mut cx.state.started, true) {
        return Ok(());
    }
    cx.state.counts = cx.tx.counts()?;
    cx.state.due = cx
        .tx
        .in_flight()?
        .into_iter()
        .map(|number| (number, cx.now.monotonic))
        .collect();
    for mut scope in cx.tx.scopes()? {
        // The app may have been updated to a schema without this model: nothing to ask for, nothing to forget.
        if cx.model_id(&scope.model).is_some() {
            scope.up_to_date = false;
            cx.state.scopes.insert(scope.model.clone(), scope);
        }
    }
    cx.state.data_version = cx.tx.data_version()?;
    refresh::lay_on_dropped(cx)
}

fn send_or_wake(cx: &mut Context<'_>) -> Result<(), StepError> {
    if !cx.state.is_open() {
        return Ok(());
    }
    if cx.settings.durable_enqueue {
        link::send(cx)
    } else {
        cx.wake_now = true;
        Ok(())
    }
}

/// What every step ends with: the feed's state, the watch on progress, the next wake-up, the status.
fn finish(cx: Context<'_>) -> Step {
    let Context {
        mut state,
        mut effects,
        changes,
        progress,
        wake_now,
        now,
        ..
    } = cx;
    if progress {
        state.failures = 0;
        // Of what is held it is the reason: the app would not find another.
        if state.held.is_empty() {
            state.last_error = None;
        }
    }
    if state.is_open() {
        state.link = Link::Open {
            feed: state.feed_state(),
        };
    }
    if state.subscribed && state.feed_state() == Feed::Live {
        state.feed_failures = 0;
    }
    if state.is_owed() {
        if progress || state.owed_since.is_none() {
            state.owed_since = Some(now.monotonic);
        }
    } else if state.link != Link::Opening {
        state.owed_since = None;
    }
    if wake_now {
        state.send_since.get_or_insert(now.monotonic);
    }
    if !changes.is_empty() {
        effects.push(Effect::Changed(changes));
    }
    tell(&mut state, &mut effects);
    Step { state, effects }
}

/// The next wake-up and the status, if they are not what was last told.
fn tell(state: &mut State, effects: &mut Vec<Effect>) {
    if !state.is_open() {
        state.send_since = None;
    }
    if let Some(at) = next_wake(state).filter(|at| state.wake_at != Some(*at)) {
        effects.push(Effect::WakeAt(at));
        state.wake_at = Some(at);
    }
    let status = state.to_status();
    if status != state.status {
        state.status = status.clone();
        effects.push(Effect::Status(status));
    }
}

fn next_wake(state: &State) -> Option<std::time::Duration> {
    let silence = state.owed_since.map(|since| since + NO_PROGRESS_MAX);
    match state.link {
        Link::Waiting { until } => Some(until),
        Link::Opening => silence,
        Link::Open { .. } => {
            // While the window is full nothing can be sent again; the answer that makes room asks anew.
            let due = state
                .due
                .values()
                .min()
                .copied()
                .filter(|_| state.in_flight.len() < IN_FLIGHT_MAX);
            due.into_iter()
                .chain(silence)
                .chain(state.send_since)
                .chain(pace::renewal(state))
                .min()
        }
        Link::Offline | Link::Paused => None,
    }
}
