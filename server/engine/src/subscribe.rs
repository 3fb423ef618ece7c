//! Subscriptions: to a model's mutations, and to the change feed.

use std::sync::Arc;

use tombolo_core::id::{Position, ReplicaId};
use tombolo_core::query::{Bound, OperationKind, RootField, SubscriptionInput, Supplied};
use tombolo_core::record::Change;
use tombolo_core::schema::MutationKind;
use tombolo_core::wire::graphql::ErrorType;

use crate::feed::{self, FeedScope};
use crate::hub::{Hub, Interest, Recent, SubscriberId, Waker};
use crate::limits;
use crate::prepare::Prepared;
use crate::resume::Missed;
use crate::service::{Engine, EngineError};
use crate::store::Store;

/// One running subscription. Dropping it ends it.
pub struct Subscriber {
    pub(crate) id: SubscriberId,
    pub(crate) hub: Arc<Hub>,
    bound: Arc<Bound>,
    replica: Option<ReplicaId>,
    root: usize,
    pub(crate) state: State,
}

pub(crate) enum State {
    Events {
        input: SubscriptionInput,
        position: Position,
        /// What the store has to be asked for first.
        missed: Option<Missed>,
        /// What has left the ring is read from the store, instead of ending the subscription.
        resumes: bool,
    },
    Feed {
        scopes: Vec<FeedScope>,
        /// The scope whose turn it is.
        turn: usize,
    },
}

/// A subscription fell behind what the ring keeps.
struct TooSlow;

/// Changes of all models in the order of their positions: see [`Engine::events`].
#[derive(Debug)]
pub struct Events {
    /// What there is.
    pub changes: Vec<Arc<Change>>,
    /// Up to here `changes` is everything.
    pub through: Position,
    /// There is more.
    pub more: bool,
}

impl Subscriber {
    /// The position from which on a model subscription is told of changes; `None` for a subscription to the feed.
    #[must_use]
    pub fn since(&self) -> Option<Position> {
        match &self.state {
            State::Events { position, .. } => Some(*position),
            State::Feed { .. } => None,
        }
    }

    /// Sets what is called when there may be something new. Set it before the first [`Engine::next`]: then nothing is
    /// missed. It is called under no lock, from the thread that committed.
    pub fn set_waker(&self, waker: Waker) {
        self.hub.set_waker(self.id, waker);
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.hub.unregister(self.id);
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<S: Store> Engine<S> {
    /// Begins a subscription. What is committed from now on reaches it.
    ///
    /// # Errors
    /// A request that is not a subscription, or one that is refused.
    pub fn subscribe(&self, prepared: &Prepared) -> Result<Subscriber, EngineError> {
        let Some(bound) = prepared
            .bound()
            .filter(|bound| bound.kind() == OperationKind::Subscription)
        else {
            return Err(EngineError::request(
                ErrorType::BadRequest,
                "the operation is not a subscription",
            ));
        };
        let refusals: Vec<_> = (0..bound.roots().len())
            .filter_map(|root| bound.refusal(root).cloned())
            .collect();
        if !refusals.is_empty() {
            return Err(EngineError::Request(refusals));
        }
        let asked = bound
            .roots()
            .iter()
            .enumerate()
            .find_map(|(place, root)| match &root.field {
                RootField::Subscription(_) | RootField::Changes(..) => Some((place, &root.field)),
                RootField::Read | RootField::Fixed | RootField::Mutation(_) | RootField::Conflicts(_) => None,
            });
        let (root, state, interests) = match asked {
            Some((root, RootField::Subscription(input))) => {
                let interests = vec![Interest::of(input.model, input.filter.as_ref())];
                (
                    root,
                    State::Events {
                        input: input.clone(),
                        position: Position(0),
                        missed: None,
                        resumes: false,
                    },
                    interests,
                )
            }
            Some((root, RootField::Changes(scopes, _))) => {
                let scopes = prepared.formerly.as_ref().map_or(scopes, |formerly| &formerly.scopes);
                if scopes.is_empty() || scopes.len() > limits::FEED_SCOPES_MAX {
                    let message = format!("`scopes` takes 1 to {} scopes", limits::FEED_SCOPES_MAX);
                    return Err(EngineError::request(ErrorType::BadRequest, message));
                }
                let scopes: Vec<FeedScope> = scopes
                    .iter()
                    .map(|scope| FeedScope::new(&self.schema, prepared, scope))
                    .collect::<Result<_, _>>()?;
                let interests = scopes
                    .iter()
                    .map(|scope| Interest::of(scope.model(), scope.filter()))
                    .collect();
                (root, State::Feed { scopes, turn: 0 }, interests)
            }
            Some(_) | None => {
                return Err(EngineError::request(
                    ErrorType::UnsupportedOperation,
                    "the subscription has no field",
                ));
            }
        };
        let id = self.hub.register(interests, prepared.replica.clone());
        let mut subscriber = Subscriber {
            id,
            hub: Arc::clone(&self.hub),
            bound: Arc::clone(bound),
            replica: prepared.replica.clone(),
            root,
            state,
        };
        if let State::Events { position, .. } = &mut subscriber.state {
            *position = self.hub.head();
        }
        Ok(subscriber)
    }

    /// The next payload, a whole response object; `None` when there is none: wait to be woken.
    ///
    /// # Errors
    /// The subscription is over. A store that failed for a moment ([`EngineError::Store`]) may be asked again.
    pub async fn next(&self, subscriber: &mut Subscriber) -> Result<Option<Vec<u8>>, EngineError> {
        let root = subscriber.root;
        let mut landed = Vec::new();
        let with = match &mut subscriber.state {
            State::Feed { scopes, turn } => {
                let due = subscriber.hub.take_due(subscriber.id);
                self.next_batch(scopes, turn, &due).await?.map(|batch| {
                    landed = batch.landed;
                    Supplied::Raw(batch.bytes)
                })
            }
            State::Events {
                input,
                position,
                missed,
                resumes,
            } => loop {
                if let Some(left) = missed {
                    if let Some(record) = self.next_missed(input, position, left).await? {
                        break Some(Supplied::Record(record));
                    }
                    *missed = None;
                }
                match self.next_event(subscriber.id, input, position) {
                    Ok(change) => break change.map(|change| Supplied::Record(Arc::clone(&change.after))),
                    Err(TooSlow) if *resumes => *missed = Some(Missed::default()),
                    Err(TooSlow) => {
                        let message = "too slow: this subscription fell behind what the server keeps; \
                                       subscribe again and read what was missed";
                        return Err(EngineError::request(ErrorType::LimitExceeded, message));
                    }
                }
            },
        };
        let Some(with) = with else { return Ok(None) };
        let answer = self.finish(&subscriber.bound, vec![(root, with)]).await?;
        let answer = feed::with_landed(answer, subscriber.replica.as_ref(), landed);
        Ok(Some(answer.into_bytes(None)))
    }

    /// The changes after `position`, of all models; `None` if the server no longer keeps all that `subscribers` may be
    /// interested in.
    ///
    /// For a listener that serves many model subscriptions of one client and has to keep one order among them, as a record's
    /// creation and its next update reach two subscriptions: it takes the changes from here and asks [`Engine::event`] of each
    /// subscription, instead of asking [`Engine::next`] of each for itself.
    #[must_use]
    pub fn events<'s>(&self, position: Position, subscribers: impl Iterator<Item = &'s Subscriber>) -> Option<Events> {
        /// Looked at for one round: the listener looks after its socket between two of them.
        const CHANGES: usize = 64;
        let subscribers = subscribers.map(|subscriber| (subscriber.id, subscriber.since().unwrap_or_default()));
        match self.hub.events_after(position, None, CHANGES, subscribers) {
            Recent::Entries { entries, through, more } => Some(Events {
                changes: entries.iter().map(|entry| Arc::clone(&entry.change)).collect(),
                through,
                more,
            }),
            Recent::TooOld => None,
        }
    }

    /// Whether a model subscription is told of `change`.
    #[must_use]
    pub fn wants(&self, subscriber: &Subscriber, change: &Change) -> bool {
        match &subscriber.state {
            State::Events { input, position, .. } => change.position > *position && self.is_wanted(input, change),
            State::Feed { .. } => false,
        }
    }

    /// The payload by which a model subscription is told of `change`, a whole response object.
    ///
    /// # Errors
    /// As [`Engine::next`].
    pub async fn event(&self, subscriber: &Subscriber, change: &Change) -> Result<Vec<u8>, EngineError> {
        let with = Supplied::Record(Arc::clone(&change.after));
        let answer = self.finish(&subscriber.bound, vec![(subscriber.root, with)]).await?;
        Ok(answer.into_bytes(None))
    }

    fn is_wanted(&self, input: &SubscriptionInput, change: &Change) -> bool {
        change.model == input.model
            && kind(change) == input.kind
            && input
                .filter
                .as_ref()
                .is_none_or(|filter| filter.matches(&self.schema[input.model], &change.after))
    }

    fn next_event(
        &self,
        id: SubscriberId,
        input: &SubscriptionInput,
        position: &mut Position,
    ) -> Result<Option<Arc<Change>>, TooSlow> {
        /// Looked at for one event: most subscribers are up with the head and see one or two.
        const CHANGES: usize = 64;
        loop {
            let alone = std::iter::once((id, *position));
            let (entries, through, more) = match self.hub.events_after(*position, Some(input.model), CHANGES, alone) {
                Recent::Entries { entries, through, more } => (entries, through, more),
                Recent::TooOld => return Err(TooSlow),
            };
            for entry in &entries {
                *position = entry.change.position;
                let change = &entry.change;
                if self.is_wanted(input, change) {
                    return Ok(Some(Arc::clone(change)));
                }
            }
            *position = through.max(*position);
            if !more {
                return Ok(None);
            }
        }
    }
}

/// What kind of mutation made `change`.
fn kind(change: &Change) -> MutationKind {
    match &change.before {
        None => MutationKind::Create,
        Some(before) if change.after.meta.deleted && !before.meta.deleted => MutationKind::Delete,
        Some(_) => MutationKind::Update,
    }
}
