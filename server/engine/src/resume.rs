//! Subscriptions that outlive their listener: a bookmark says where one stands, and from there another goes on, after a restart
//! too.
//!
//! Of a model's mutations the ring has each one, as far back as it reaches. What came before that is read from the store, which
//! has each record at its newest alone: then a record is told once, as it is now, to the subscriptions that it fits as it is now. A
//! record may be told to a subscription to creations that was only updated; one that no longer fits is told to nobody.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tombolo_core::id::{Epoch, Position, Version};
use tombolo_core::query::SubscriptionInput;
use tombolo_core::record::{Record, StoredRecord};
use tombolo_core::schema::MutationKind;
use tombolo_core::wire::graphql::ErrorType;

use crate::feed::FeedScope;
use crate::limits::MISSED_RECORDS;
use crate::prepare::Prepared;
use crate::service::{Engine, EngineError};
use crate::store::Store;
use crate::subscribe::{State, Subscriber};

/// Where a subscription stands: what was told before it is not told again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bookmark {
    /// A model's mutations, up to a position of a history.
    Events {
        /// The history.
        epoch: Epoch,
        /// The position.
        position: Position,
    },
    /// The feed, by the scope's place: the cursor of its last batch.
    Feed {
        /// None before its first batch.
        cursors: Vec<Option<String>>,
    },
}

/// What is still to be read from the store for a subscription that goes on.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    records: VecDeque<StoredRecord>,
    /// All that there is up to here has been read.
    through: Option<Position>,
}

impl<S: Store> Engine<S> {
    /// Begins a subscription that can be gone on with: [`Engine::bookmark`] says where it stands. With a bookmark it goes on from
    /// there.
    ///
    /// # Errors
    /// As [`Engine::subscribe`]; the store's; and `LimitExceeded` if the bookmark is of a history that is no more: then what was
    /// missed has to be read by other means. A subscription to deletions says the same later if tombstones are no longer kept.
    pub async fn subscribe_from(
        &self,
        prepared: &Prepared,
        bookmark: Option<&Bookmark>,
    ) -> Result<Subscriber, EngineError> {
        let mut subscriber = self.subscribe(prepared)?;
        let hub = Arc::clone(&subscriber.hub);
        match &mut subscriber.state {
            State::Events {
                position,
                missed,
                resumes,
                ..
            } => {
                *resumes = true;
                match bookmark {
                    Some(Bookmark::Events { epoch, position: from }) => {
                        if *epoch != self.epoch().await? {
                            return Err(too_old());
                        }
                        *position = *from;
                        if !hub.reaches_back(*from) {
                            *missed = Some(Missed::default());
                        }
                    }
                    // Before this process's first commit the ring does not know where the store stands.
                    Some(Bookmark::Feed { .. }) | None if *position == Position(0) => {
                        *position = self.store.head().await?.position;
                    }
                    Some(Bookmark::Feed { .. }) | None => {}
                }
            }
            State::Feed { scopes, .. } => {
                if let Some(Bookmark::Feed { cursors }) = bookmark {
                    for (scope, cursor) in scopes.iter_mut().zip(cursors) {
                        scope.go_on_from(cursor.as_deref())?;
                    }
                }
            }
        }
        Ok(subscriber)
    }

    /// Where a subscription stands, with all that [`Engine::next`] has given.
    ///
    /// # Errors
    /// The store's.
    pub async fn bookmark(&self, subscriber: &Subscriber) -> Result<Bookmark, EngineError> {
        Ok(match &subscriber.state {
            State::Events { position, .. } => Bookmark::Events {
                epoch: self.epoch().await?,
                position: *position,
            },
            State::Feed { scopes, .. } => Bookmark::Feed {
                cursors: scopes.iter().map(FeedScope::cursor).collect(),
            },
        })
    }

    /// The next record that a subscription may have missed; `None` when the ring has all the rest.
    pub(crate) async fn next_missed(
        &self,
        input: &SubscriptionInput,
        position: &mut Position,
        missed: &mut Missed,
    ) -> Result<Option<Arc<Record>>, EngineError> {
        loop {
            while let Some(StoredRecord {
                record, position: at, ..
            }) = missed.records.pop_front()
            {
                *position = at;
                if self.may_have_missed(input, &record) {
                    return Ok(Some(Arc::new(record)));
                }
            }
            if let Some(through) = missed.through {
                *position = through.max(*position);
                return Ok(None);
            }
            let page = self.store.records(input.model, *position, MISSED_RECORDS).await?;
            // Records stay; a deletion that is no longer kept nobody can tell any more.
            if input.kind == MutationKind::Delete && *position < page.head.low_watermark {
                return Err(too_old());
            }
            missed.records = page.records.into();
            missed.through = (!page.more).then_some(page.head.position);
        }
    }

    /// Whether the record, as it is now, may have become so by a mutation that the subscription is to be told of.
    fn may_have_missed(&self, input: &SubscriptionInput, record: &Record) -> bool {
        let kind = match input.kind {
            MutationKind::Create => !record.meta.deleted,
            MutationKind::Update => !record.meta.deleted && record.meta.version > Version(1),
            MutationKind::Delete => record.meta.deleted,
        };
        let wanted = |filter: &tombolo_core::query::Filter| filter.matches(&self.schema[input.model], record);
        kind && input.filter.as_ref().is_none_or(wanted)
    }
}

fn too_old() -> EngineError {
    let message = "too long away: the server no longer keeps what this subscription missed; \
                   subscribe again and read what was missed";
    EngineError::request(ErrorType::LimitExceeded, message)
}
