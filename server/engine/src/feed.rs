//! The change feed: pages of a scope, and the subscriptions that stay.
//!
//! A subscription is *behind* until it has read its scopes from the store up to the head; from then on it is *live* and takes
//! what is new from the hub's ring. If it falls so far behind that the ring has moved on, it is behind again and reads the
//! store: nothing waits for it, and nothing is kept for it but its positions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;
use tombolo_core::access::Access;
use tombolo_core::id::{Cursor, Epoch, FeedCursor, FieldId, ModelId, Position, ReplicaId};
use tombolo_core::query::{Answer, Filter, ScopeInput};
use tombolo_core::schema::{AuthOperation, Model, Schema};
use tombolo_core::wire::batch::{BatchHead, Landed, LandedMutation, META_FIELDS, write_batch, write_record};
use tombolo_core::wire::graphql::ErrorType;

use crate::hub::{Entry, Recent};
use crate::limits;
use crate::prepare::Prepared;
use crate::service::{Engine, EngineError};
use crate::store::{ChangePage, Head, PageRequest, Store};

/// One scope of a subscription to the feed.
#[derive(Debug)]
pub(crate) struct FeedScope {
    model: ModelId,
    /// What the replica calls it.
    name: String,
    filter: Option<Filter>,
    fields: Vec<FieldId>,
    /// `fields` by name, then the meta columns.
    names: Vec<String>,
    /// The columns of `filter` leave departures.
    watched: bool,
    /// Who asks, if it said so.
    replica: Option<ReplicaId>,
    /// Whose replicas are the caller's.
    principal: Option<String>,
    /// The cursor as it was given, until it has been looked at.
    given: Option<FeedCursor>,
    /// Fields that are shown in some rows only.
    masks: Vec<(FieldId, Filter)>,
    access: Arc<Access>,
    /// Tells the rules that give some of the rows from others; `None` where they give all.
    rules: Option<String>,
    /// Everything up to here has been looked at; `None` before a base sync.
    position: Option<Position>,
    /// The history that `position` is of; `None` before a base sync.
    epoch: Option<Epoch>,
    /// While a base sync is under way, the head when it began: nothing from before then is needed to go on.
    since: Option<Position>,
    /// The position that the replica was last told.
    told: Position,
    /// It is to be read from the store.
    behind: bool,
    /// A batch is due even if it is empty: the first one, and after the replica's own mutation.
    due: bool,
}

impl FeedScope {
    pub(crate) fn new(schema: &Schema, prepared: &Prepared, input: &ScopeInput) -> Result<Self, EngineError> {
        let access = &prepared.access;
        let model = &schema[input.model];
        let rows = access.grant(input.model, AuthOperation::Sync);
        if !rows.is_anything() {
            let message = format!("Not Authorized to access the changes of {}", model.name);
            return Err(EngineError::request(ErrorType::Unauthorized, message));
        }
        let given = match &input.cursor {
            Some(text) => Some(
                text.parse::<FeedCursor>()
                    .map_err(|e| EngineError::request(ErrorType::BadRequest, e.to_string()))?,
            ),
            None => None,
        };
        let fields: Vec<FieldId> = (0..model.fields.len())
            .map(FieldId)
            .filter(|field| access.read(input.model, *field).is_anything())
            .collect();
        let masks = access.masks(input.model);
        let filter = match rows.rows() {
            Some(rows) => Some(Filter::both(rows.clone(), input.filter.clone())),
            None => input.filter.clone(),
        };
        let lens = prepared.formerly.as_ref().map(|formerly| &formerly.former.lens);
        let names = fields.iter().map(|field| match lens {
            Some(lens) => lens.field_name(input.model, *field).to_owned(),
            None => model.field_at(*field).name.clone(),
        });
        Ok(Self {
            name: lens
                .map_or(model.name.as_str(), |lens| lens.model_name(input.model))
                .to_owned(),
            names: names.chain(META_FIELDS.map(str::to_owned)).collect(),
            model: input.model,
            rules: access.digest(schema, input.model),
            filter,
            masks,
            access: Arc::clone(access),
            fields,
            watched: false,
            replica: prepared.replica.clone(),
            principal: prepared.identity.principal(),
            given,
            position: None,
            epoch: None,
            since: None,
            told: Position(0),
            behind: true,
            due: true,
        })
    }

    pub(crate) fn model(&self) -> ModelId {
        self.model
    }

    pub(crate) fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// Goes on from a cursor as a replica would that had brought it.
    pub(crate) fn go_on_from(&mut self, cursor: Option<&str>) -> Result<(), EngineError> {
        if let Some(cursor) = cursor {
            let parsed = cursor.parse::<FeedCursor>();
            self.given = Some(parsed.map_err(|e| EngineError::request(ErrorType::BadRequest, e.to_string()))?);
        }
        Ok(())
    }

    /// The cursor of the last batch, or the one that the scope came with.
    pub(crate) fn cursor(&self) -> Option<String> {
        let cursor = match (&self.given, &self.epoch, self.position) {
            (Some(given), _, _) => given.clone(),
            (None, Some(epoch), Some(position)) => FeedCursor {
                at: Cursor {
                    epoch: epoch.clone(),
                    position,
                },
                since: self.since,
                rules: self.rules.clone(),
            },
            (None, _, _) => return None,
        };
        Some(cursor.to_string())
    }
}

/// A batch, and what lies beside it in the answer.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Its JSON.
    pub(crate) bytes: Vec<u8>,
    /// The asking replica's mutations that have landed with it.
    pub(crate) landed: Vec<LandedMutation>,
}

/// Tells a replica which of its mutations have landed, if any.
pub(crate) fn with_landed(answer: Answer, replica: Option<&ReplicaId>, mutations: Vec<LandedMutation>) -> Answer {
    let Some(replica) = replica.filter(|_| !mutations.is_empty()) else {
        return answer;
    };
    let landed = Landed {
        replica: replica.clone(),
        mutations,
    };
    Answer {
        extensions: Some(json!({ "tombolo": { "landed": landed } })),
        ..answer
    }
}

/// Where a page begins.
#[derive(Clone, Copy, Debug)]
struct Start {
    position: Position,
    since: Option<Position>,
}

impl Start {
    fn of(cursor: &FeedCursor) -> Self {
        Self {
            position: cursor.at.position,
            since: cursor.since,
        }
    }

    /// Whoever goes on from here needs no tombstone and no departure at or below this.
    fn needs_nothing_before(self) -> Position {
        self.since.map_or(self.position, |since| since.max(self.position))
    }
}

impl<S: Store> Engine<S> {
    /// One page, for the `tomboloChanges` query.
    pub(crate) async fn page(
        &self,
        prepared: &Prepared,
        scopes: &[ScopeInput],
        limit: Option<usize>,
    ) -> Result<Batch, EngineError> {
        let Some(input) = scopes.first() else {
            return Err(EngineError::request(ErrorType::BadRequest, "`scope` is missing"));
        };
        let mut scope = FeedScope::new(&self.schema, prepared, input)?;
        let rows = limit
            .unwrap_or(self.settings.feed_rows_http)
            .clamp(1, limits::FEED_ROWS_MAX);
        match self.read(&mut scope, rows).await? {
            Some(batch) => Ok(batch),
            None => Err(EngineError::request(
                ErrorType::InternalFailure,
                "the first batch of a scope is missing",
            )),
        }
    }

    /// The next batch of a subscription's scopes; `None` when there is nothing to tell.
    ///
    /// Begins at `turn`, the scope after the one that gave the last batch: a model that is written without pause does not
    /// starve the others.
    pub(crate) async fn next_batch(
        &self,
        scopes: &mut [FeedScope],
        turn: &mut usize,
        due: &BTreeSet<ModelId>,
    ) -> Result<Option<Batch>, EngineError> {
        for scope in scopes.iter_mut().filter(|scope| due.contains(&scope.model)) {
            scope.due = true;
        }
        for _ in 0..scopes.len() {
            let place = *turn % scopes.len();
            *turn = place + 1;
            let Some(scope) = scopes.get_mut(place) else { continue };
            if !scope.behind
                && let Some(batch) = self.live(scope).await?
            {
                return Ok(Some(batch));
            }
            if scope.behind
                && let Some(batch) = self.read(scope, self.settings.feed_rows_live).await?
            {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// Reads one page from the store.
    async fn read(&self, scope: &mut FeedScope, rows_max: usize) -> Result<Option<Batch>, EngineError> {
        if !scope.watched {
            if let Some(filter) = &scope.filter {
                self.store.watch_fields(scope.model, filter.columns()).await?;
            }
            scope.watched = true;
        }
        let (mut page, after, reset) = self.next_page(scope, rows_max).await?;
        if page.principal.is_some() && page.principal != scope.principal {
            // Somebody else's: what it holds and what became of its mutations is not this one's to say or to hear.
            scope.replica = None;
            page.landed.clear();
        }
        let up_to_date = page.position >= page.head.position;
        // Only now: if the store failed for a moment, the next call begins with the same cursor.
        let since = match after {
            None => Some(page.head.position),
            Some(after) => after.since,
        };
        if let Some(replica) = scope
            .replica
            .as_ref()
            .filter(|_| scope.given.is_some() || scope.epoch.is_none())
        {
            // It has shown what it holds. A base sync needs nothing from before it began.
            let holds = after.map_or(page.head.position, Start::needs_nothing_before);
            self.notes.see(replica, scope.model, holds);
        }
        scope.given = None;
        scope.position = Some(page.position);
        scope.epoch = Some(page.head.epoch.clone());
        scope.since = since.filter(|_| !up_to_date);
        scope.behind = !up_to_date;
        if page.count == 0 && page.left_count == 0 && up_to_date && !scope.due && !reset {
            return Ok(None);
        }
        scope.told = page.position;
        scope.due &= !up_to_date;
        let cursor = FeedCursor {
            at: Cursor {
                epoch: page.head.epoch.clone(),
                position: page.position,
            },
            since: scope.since,
            rules: scope.rules.clone(),
        }
        .to_string();
        let head = BatchHead {
            model: &scope.name,
            cursor: &cursor,
            up_to_date,
            reset,
            fields: &scope.names,
        };
        Ok(Some(Batch {
            bytes: write_batch(&head, &page.rows, &page.left),
            landed: page.landed,
        }))
    }

    /// Reads the page after where the scope stands, and says where that was (`None`: at the beginning) and whether the
    /// replica is to drop what it holds: its cursor is of another history, or of one that was taken back, or things that
    /// came after it are no longer kept. All of it is judged on the snapshot that the page is read from.
    async fn next_page(
        &self,
        scope: &FeedScope,
        rows_max: usize,
    ) -> Result<(ChangePage, Option<Start>, bool), EngineError> {
        let (mut start, mut epoch) = match &scope.given {
            Some(given) => (Some(Start::of(given)), Some(&given.at.epoch)),
            None => {
                let start = scope.position.map(|position| Start {
                    position,
                    since: scope.since,
                });
                (start, scope.epoch.as_ref())
            }
        };
        let mut reset = false;
        if scope.given.as_ref().is_some_and(|given| given.rules != scope.rules) {
            // What he may see has changed: rows from before the cursor may have come into sight, or gone.
            (start, epoch, reset) = (None, None, true);
        }
        loop {
            let page = self
                .store
                .changes(PageRequest {
                    model: scope.model,
                    filter: scope.filter.clone(),
                    after: start.map(|start| start.position),
                    rows_max,
                    bytes_max: limits::FEED_BYTES_MAX,
                    fields: scope.fields.clone(),
                    masks: scope.masks.clone(),
                    replica: scope.replica.clone(),
                })
                .await?;
            let Some(from) = start else {
                return Ok((page, None, reset));
            };
            let same = epoch.is_none_or(|epoch| *epoch == page.head.epoch);
            if same && from.position > page.head.position && scope.given.is_some() {
                // The database went back.
                self.renew_after_restore(&page.head).await?;
            } else if same && from.needs_nothing_before() >= page.head.low_watermark {
                return Ok((page, start, reset));
            }
            (start, epoch, reset) = (None, None, true);
        }
    }

    /// A replica has seen a later place of this history than there is: the database was restored from a backup. That can
    /// only have happened before it was opened, so it is believed once: otherwise whoever makes up cursors could send
    /// every replica into a base sync again and again.
    async fn renew_after_restore(&self, head: &Head) -> Result<(), EngineError> {
        if !self.renewed.swap(true, Ordering::Relaxed)
            && let Err(error) = self.renew_epoch(Some(head.epoch.clone())).await
        {
            self.renewed.store(false, Ordering::Relaxed);
            return Err(error.into());
        }
        Ok(())
    }

    /// Takes what is new from the ring.
    async fn live(&self, scope: &mut FeedScope) -> Result<Option<Batch>, EngineError> {
        let epoch = self.epoch().await?;
        if scope.epoch.as_ref() != Some(&epoch) {
            // The history got a new identity: the scope begins again.
            scope.behind = true;
            return Ok(None);
        }
        let model = &self.schema[scope.model];
        let mut landed = Vec::new();
        let (rows, left, through, more) = loop {
            let position = scope.position.unwrap_or_default();
            let (entries, through, more) = match self.hub.after(position, scope.model, self.settings.feed_rows_live) {
                Recent::Entries { entries, through, more } => (entries, through, more),
                Recent::TooOld => {
                    scope.behind = true;
                    return Ok(None);
                }
            };
            let (rows, left) = self.encode(model, scope, &entries);
            scope.position = Some(through);
            landed.extend(own(scope, &entries));
            let lag = through.0.saturating_sub(scope.told.0);
            if rows.len() > 2 || left.len() > 2 || (scope.due && !more) || lag > limits::FEED_CURSOR_LAG_MAX {
                break (rows, left, through, more);
            }
            // Nothing for this scope among these; there may be among the next.
            if !more {
                return Ok(None);
            }
        };
        scope.told = through;
        scope.due &= more;
        let cursor = FeedCursor {
            at: Cursor {
                epoch,
                position: through,
            },
            since: None,
            rules: scope.rules.clone(),
        }
        .to_string();
        let head = BatchHead {
            model: &scope.name,
            cursor: &cursor,
            up_to_date: !more,
            reset: false,
            fields: &scope.names,
        };
        Ok(Some(Batch {
            bytes: write_batch(&head, &rows, &left),
            landed,
        }))
    }

    /// Rows and departures of `entries`: each record once, at its newest.
    fn encode(&self, model: &Model, scope: &FeedScope, entries: &[Arc<Entry>]) -> (Vec<u8>, Vec<u8>) {
        // By key: the place of the newest, and whether the scope held the record before it.
        let mut newest: BTreeMap<String, (usize, bool)> = BTreeMap::new();
        let matches = |record: &_| scope.filter.as_ref().is_none_or(|filter| filter.matches(model, record));
        for (place, entry) in entries.iter().enumerate() {
            let key = entry.change.after.key(&model.key).to_text();
            let held = entry.change.before.as_deref().is_some_and(matches);
            let known = newest.entry(key).or_insert((place, false));
            *known = (place, known.1 || held);
        }
        let (mut rows, mut left) = (vec![b'['], vec![b'[']);
        let mut keys: Vec<(String, usize, bool)> = newest
            .into_iter()
            .map(|(key, (place, held))| (key, place, held))
            .collect();
        keys.sort_by_key(|(_, place, _)| *place);
        let whole = scope.fields.len() == model.fields.len() && scope.masks.is_empty();
        for (key, place, held) in keys {
            let Some(entry) = entries.get(place) else { continue };
            if matches(&entry.change.after) {
                separate(&mut rows);
                if whole {
                    rows.extend_from_slice(entry.row.get_or_init(|| {
                        let mut row = Vec::new();
                        write_record(model, &scope.fields, &entry.change.after, &mut row);
                        row
                    }));
                } else {
                    let shown = scope.access.shown(&self.schema, scope.model, &entry.change.after);
                    write_record(model, &scope.fields, &shown, &mut rows);
                }
            } else if held {
                separate(&mut left);
                left.extend_from_slice(key.as_bytes());
            }
        }
        rows.push(b']');
        left.push(b']');
        (rows, left)
    }
}

/// The mutations of the scope's replica among `entries`.
fn own(scope: &FeedScope, entries: &[Arc<Entry>]) -> Vec<LandedMutation> {
    let by = |entry: &Arc<Entry>| {
        let (replica, number) = entry.by.as_ref()?;
        (Some(replica) == scope.replica.as_ref()).then_some(LandedMutation {
            number: *number,
            position: entry.change.position,
        })
    };
    entries.iter().filter_map(by).collect()
}

fn separate(array: &mut Vec<u8>) {
    if array.len() > 1 {
        array.push(b',');
    }
}
