//! Changes of records, one by one.
//!
//! The writer tells after each commit which keys of a model have changed. An observer gathers them (a change set names so many at most,
//! and then says "all of them"), reads those records in a snapshot and compares them with what it knows: for each record that
//! matches, a hash of its JSON. So a change is told once, changes of one record that come faster than the reader asks are told
//! as one, and nothing is seen in the middle of a transaction. Where the keys are not known (another process has written, the client was
//! suspended, too many records changed at once) it reads all records, page by page, and compares.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};
use tokio::sync::watch;
use tombolo_core::id::ModelId;
use tombolo_core::query::Side;
use tombolo_core::record::Key;
use tombolo_core::schema::Model;
use tombolo_machine::ChangedKeys;
use tombolo_transport::BoxFuture;

use super::find::{Find, inside};
use super::{document, model};
use crate::hub::PendingKeys;
use crate::inner::Inner;
use crate::limits::{OBSERVED_KEYS, OBSERVED_PAGE, OBSERVED_RECORDS_MAX};
use crate::{Client, Error};

/// What [`Client::observe`] is to tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObserveOptions {
    /// A filter as `listXs` takes it, as JSON; without it every record of the model.
    pub filter: Option<Json>,
    /// Tell of the records that are there already, too, as created.
    pub with_existing: bool,
}

/// One change of one record.
#[derive(Clone, PartialEq)]
pub struct Observed {
    /// What happened.
    pub kind: ObservedKind,
    /// The record as it is now, as [`Client::find`] gives one. Of a deleted one what is left of it, with `"_deleted":true`, where the file
    /// still has it. `None` for [`ObservedKind::Left`] where this replica no longer holds it, and for [`ObservedKind::Resynchronise`].
    pub record: Option<String>,
    /// Its key as an object by field; null for [`ObservedKind::Resynchronise`].
    pub key: Json,
}

impl std::fmt::Debug for Observed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Observed({:?}, {})", self.kind, self.key)
    }
}

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObservedKind {
    /// It is here and was not: created here or elsewhere, come into the scope, or come to match the filter.
    Created,
    /// It is another than before.
    Updated,
    /// It was deleted, here or elsewhere.
    Deleted,
    /// It is no longer among the observed: it does not match the filter any more, has left the scope, or was taken back before the
    /// server ever heard of it.
    Left,
    /// Records have changed, and which is not known, since more than [`OBSERVED_RECORDS_MAX`] are observed: look at them anew.
    Resynchronise,
}

/// The changes of a model's records: a [`Stream`] that ends when the client is closed.
///
/// Each change of a record is told once, the app's own at once and the server's as they come; a rolled back edit is a change, too.
/// Of changes of one record that come faster than they are asked for, the last is told. While the client is suspended it waits, and
/// then tells what has become different. An error is told and the stream goes on with what comes next. Dropping it ends it.
pub struct Observe {
    id: u64,
    inner: Arc<Inner>,
    turn: Turn,
}

enum Turn {
    Runs(BoxFuture<'static, (Box<Observer>, Item)>),
    Rests(Box<Observer>),
    Over,
}

type Item = Option<Result<Observed, Error>>;

struct Observer {
    inner: Arc<Inner>,
    model: ModelId,
    filter: Option<Json>,
    count: watch::Receiver<u64>,
    pending: PendingKeys,
    /// The records that match, by the text of their keys.
    known: BTreeMap<String, Known>,
    /// Told next.
    due: VecDeque<Observed>,
    /// Keys of a change set that are still to be looked at.
    keys: BTreeSet<String>,
    /// All records are being compared: where that goes on.
    scan: Option<Scan>,
    round: u32,
    /// Most records that are compared.
    most: usize,
    /// There are more.
    beyond: bool,
}

#[derive(Clone, Copy)]
struct Known {
    hash: u64,
    /// The round in which it was last seen.
    round: u32,
}

#[derive(Clone, Default)]
struct Scan {
    token: Option<String>,
    /// Every page is read: what was not among them has gone.
    read: bool,
}

#[derive(Deserialize)]
struct Page<'p> {
    #[serde(borrow)]
    items: Vec<Option<&'p RawValue>>,
    #[serde(rename = "nextToken")]
    next_token: Option<String>,
}

impl Observe {
    /// The next change. `None` once the client is closed.
    ///
    /// Cancel safe: a future that is dropped before it is ready has lost nothing.
    pub async fn next(&mut self) -> Option<Result<Observed, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Observe {
    type Item = Result<Observed, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Item> {
        let mut runs: BoxFuture<'static, (Box<Observer>, Item)> = match std::mem::replace(&mut self.turn, Turn::Over) {
            Turn::Over => return Poll::Ready(None),
            Turn::Runs(runs) => runs,
            Turn::Rests(mut observer) => Box::pin(async move {
                let item = observer.next().await;
                (observer, item)
            }),
        };
        let Poll::Ready((observer, item)) = runs.as_mut().poll(cx) else {
            self.turn = Turn::Runs(runs);
            return Poll::Pending;
        };
        if item.is_some() {
            self.turn = Turn::Rests(observer);
        }
        Poll::Ready(item)
    }
}

impl Drop for Observe {
    fn drop(&mut self) {
        self.inner.hub.remove_watch(self.id);
    }
}

impl std::fmt::Debug for Observe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Observe({})", self.id)
    }
}

impl Observer {
    async fn next(&mut self) -> Item {
        loop {
            if let Some(observed) = self.due.pop_front() {
                return Some(Ok(observed));
            }
            self.count.borrow_and_update();
            if self.scan.is_none() && self.keys.is_empty() && !self.take() {
                self.count.changed().await.ok()?;
                continue;
            }
            match self.look(true).await {
                Ok(()) => {}
                Err(Error::Closed | Error::SignedOut) => return None,
                // It goes on when the client does, which is told as a change.
                Err(Error::Suspended) => self.count.changed().await.ok()?,
                Err(error) => {
                    // Nothing is forgotten: with the next change everything is compared.
                    (self.scan, self.keys) = (None, BTreeSet::new());
                    self.forget_keys();
                    return Some(Err(error));
                }
            }
        }
    }

    /// Takes what has changed since it was last asked; false for nothing.
    fn take(&mut self) -> bool {
        let taken = self.pending.lock().unwrap_or_else(PoisonError::into_inner).take();
        match taken {
            None => return false,
            Some(_) if self.beyond => self.due.push_back(Observed::resynchronise()),
            Some(ChangedKeys::Some(keys)) => self.keys = keys,
            Some(ChangedKeys::All) => self.begin_scan(),
        }
        true
    }

    /// What comes next is compared with all that is known, keys or not.
    fn forget_keys(&self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        *pending = Some(ChangedKeys::All);
    }

    fn begin_scan(&mut self) {
        self.round = self.round.wrapping_add(1);
        self.scan = Some(Scan::default());
    }

    /// Reads the next records that may have changed.
    async fn look(&mut self, tell: bool) -> Result<(), Error> {
        if let Some(scan) = self.scan.clone() {
            return self.scan(scan, tell).await;
        }
        let mut keys: Vec<String> = self.keys.iter().take(OBSERVED_KEYS).cloned().collect();
        if keys.is_empty() {
            return Ok(());
        }
        let here = match self.read_keys(&keys, Side::Replica).await {
            // The filter has no room for the keys beside its own nodes.
            Err(Error::Request(_)) => {
                self.keys = BTreeSet::new();
                self.begin_scan();
                return Ok(());
            }
            read => read?,
        };
        let mut gone = Vec::new();
        for key in &keys {
            match here.get(key) {
                Some(record) => self.compare(key, record, tell),
                None if self.known.contains_key(key) => gone.push(key.clone()),
                None => {}
            }
        }
        self.tell_gone(&gone).await?;
        for key in keys.drain(..) {
            self.keys.remove(&key);
        }
        self.overflow();
        Ok(())
    }

    async fn scan(&mut self, scan: Scan, tell: bool) -> Result<(), Error> {
        if scan.read {
            let round = self.round;
            let gone = self.known.iter().filter(|(_, known)| known.round != round);
            let gone: Vec<String> = gone.map(|(key, _)| key.clone()).take(OBSERVED_KEYS).collect();
            if gone.is_empty() {
                self.scan = None;
            }
            return self.tell_gone(&gone).await;
        }
        let find = Find {
            filter: self.filter.clone(),
            limit: Some(OBSERVED_PAGE),
            token: scan.token,
            ..Find::of(self.model().name.clone())
        };
        let bound = find.bind(&self.inner)?;
        let response = self.inner.query(bound).await?;
        let page = page(response.data())?;
        for item in page.items.into_iter().flatten() {
            let key = self.key_text(item.get())?;
            self.compare(&key, item.get(), tell);
        }
        self.scan = Some(Scan {
            read: page.next_token.is_none(),
            token: page.next_token,
        });
        self.overflow();
        Ok(())
    }

    /// Gives the comparison up when it would hold too much.
    fn overflow(&mut self) {
        if self.known.len() > self.most {
            self.beyond = true;
            self.known = BTreeMap::new();
            (self.scan, self.keys) = (None, BTreeSet::new());
            self.due.push_back(Observed::resynchronise());
        }
    }

    fn compare(&mut self, key: &str, record: &str, tell: bool) {
        let mut hasher = DefaultHasher::new();
        record.hash(&mut hasher);
        let (hash, round) = (hasher.finish(), self.round);
        let before = self.known.insert(key.to_owned(), Known { hash, round });
        let kind = match before {
            None => ObservedKind::Created,
            Some(known) if known.hash != hash => ObservedKind::Updated,
            Some(_) => return,
        };
        if tell {
            self.due.push_back(Observed {
                kind,
                record: Some(record.to_owned()),
                key: self.key_object(key),
            });
        }
    }

    /// Tells of records that are no longer among the observed, with what the file still has of them.
    async fn tell_gone(&mut self, gone: &[String]) -> Result<(), Error> {
        if gone.is_empty() {
            return Ok(());
        }
        let left = self.read_keys(gone, Side::Server).await?;
        for key in gone {
            self.known.remove(key);
            let record = left.get(key).cloned();
            let deleted = record.as_deref().is_some_and(is_tombstone);
            self.due.push_back(Observed {
                kind: if deleted {
                    ObservedKind::Deleted
                } else {
                    ObservedKind::Left
                },
                record,
                key: self.key_object(key),
            });
        }
        Ok(())
    }

    /// The records under these keys that match the filter; of the server's side, whatever the file has of them.
    async fn read_keys(&self, keys: &[String], side: Side) -> Result<BTreeMap<String, String>, Error> {
        let model = self.model();
        let wanted: Vec<Json> = keys.iter().map(|key| equal(&self.key_object(key))).collect();
        let mut all = vec![json!({ "or": wanted })];
        if side == Side::Replica {
            all.extend(self.filter.clone());
        }
        let variables = Map::from_iter([
            ("filter".to_owned(), json!({ "and": all })),
            ("limit".to_owned(), json!(keys.len())),
        ]);
        let texts = self.inner.record_documents.of(&self.inner.schema, self.model);
        let text = document::absent(texts.list.as_ref(), model, "list")?;
        let bound = self.inner.bind_records(text, variables, side)?;
        let response = self.inner.query(bound).await?;
        let mut found = BTreeMap::new();
        for item in page(response.data())?.items.into_iter().flatten() {
            found.insert(self.key_text(item.get())?, item.get().to_owned());
        }
        Ok(found)
    }

    fn model(&self) -> &Model {
        self.inner.schema.model(self.model)
    }

    /// The text of a record's key, as change sets have it.
    fn key_text(&self, record: &str) -> Result<String, Error> {
        let record: Map<String, Json> = serde_json::from_str(record).map_err(|e| Error::Shape(e.to_string()))?;
        let model = self.model();
        let values = model
            .key
            .iter()
            .map(|f| record.get(&model.field_at(*f).name).cloned().unwrap_or_default());
        Ok(Json::Array(values.collect()).to_string())
    }

    fn key_object(&self, key: &str) -> Json {
        let model = self.model();
        let values = Key::from_text(model, key).map(|key| key.0).unwrap_or_default();
        let members = model.key.iter().zip(&values);
        Json::Object(
            members
                .map(|(f, value)| (model.field_at(*f).name.clone(), value.to_json()))
                .collect(),
        )
    }
}

impl Observed {
    fn resynchronise() -> Self {
        Self {
            kind: ObservedKind::Resynchronise,
            record: None,
            key: Json::Null,
        }
    }
}

/// Of a record as this selects it, at whose end its meta stands.
fn is_tombstone(record: &str) -> bool {
    let meta = record.rsplit_once("\"_deleted\":");
    meta.is_some_and(|(_, meta)| meta.starts_with("true"))
}

/// The filter that one key holds.
fn equal(key: &Json) -> Json {
    let members = key.as_object().into_iter().flatten();
    Json::Object(
        members
            .map(|(name, value)| (name.clone(), json!({ "eq": value })))
            .collect(),
    )
}

fn page(data: &str) -> Result<Page<'_>, Error> {
    let text = inside(data, document::PAGE).unwrap_or_default();
    serde_json::from_str(text).map_err(|error| Error::Shape(error.to_string()))
}

impl Client {
    /// Observes a model's records, or those that match a filter: each change of one, from when this returns. See [`Observe`] and
    /// [`Observed`]. For the records themselves, as a list that stays right, there is [`Client::watch_find`].
    ///
    /// It reads the records once to know what is there, and keeps some 100 bytes of each; of more than [`OBSERVED_RECORDS_MAX`]
    /// it tells [`ObservedKind::Resynchronise`] whenever something has changed.
    ///
    /// ```
    #[doc = include_str!("../../doc/open.rs")]
    /// # use serde_json::json;
    /// use tombolo::{ObserveOptions, ObservedKind, Save};
    /// let mut notes = client.observe("Note", ObserveOptions::default()).await?;
    /// client.save(Save::record("Note", json!({ "id": "n1", "text": "wet" }))).await?;
    /// let change = notes.next().await.unwrap()?;
    /// assert_eq!((change.kind, change.key), (ObservedKind::Created, json!({ "id": "n1" })));
    /// assert!(change.record.unwrap().contains(r#""text":"wet""#));
    #[doc = include_str!("../../doc/close.rs")]
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::Request`] for a filter that the model does not take; [`Error::Store`] if the file cannot
    /// be read.
    pub async fn observe(&self, model_name: &str, options: ObserveOptions) -> Result<Observe, Error> {
        self.observe_most(model_name, options, OBSERVED_RECORDS_MAX).await
    }

    async fn observe_most(&self, model_name: &str, options: ObserveOptions, most: usize) -> Result<Observe, Error> {
        let inner = Arc::clone(&self.inner);
        let id = model(&inner.schema, model_name)?;
        let (watch, count, pending) = inner.hub.add_observer(model_name);
        let mut observer = Box::new(Observer {
            inner: Arc::clone(&inner),
            model: id,
            filter: options.filter,
            count,
            pending,
            known: BTreeMap::new(),
            due: VecDeque::new(),
            keys: BTreeSet::new(),
            scan: None,
            round: 0,
            most,
            beyond: false,
        });
        // From here on dropping it takes it out of the hub, also when this call is given up.
        let mut observe = Observe {
            id: watch,
            inner,
            turn: Turn::Over,
        };
        observer.begin_scan();
        if options.with_existing {
            // One look, so that what cannot be is refused here.
            observer.look(true).await?;
        } else {
            while observer.scan.is_some() {
                observer.look(false).await?;
            }
        }
        observe.turn = Turn::Rests(observer);
        Ok(observe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Save;

    async fn client(folder: &tempfile::TempDir) -> Client {
        let sdl = "type Note @model { id: ID! text: String! }";
        let path = folder.path().join("replica.db");
        Client::builder().schema(sdl).path(path).open().await.unwrap()
    }

    async fn note(client: &Client, id: &str) {
        let record = json!({ "id": id, "text": "t" });
        client.save(Save::record("Note", record)).await.unwrap();
    }

    /// More than it can compare: never silence, and no room taken.
    #[tokio::test]
    async fn beyond_its_limit_it_says_that_something_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let client = client(&folder).await;
        note(&client, "a").await;
        let mut observe = client.observe_most("Note", ObserveOptions::default(), 2).await.unwrap();
        note(&client, "b").await;
        assert_eq!(observe.next().await.unwrap().unwrap().kind, ObservedKind::Created);
        note(&client, "c").await;
        assert_eq!(observe.next().await.unwrap().unwrap().kind, ObservedKind::Created);
        for id in ["d", "e"] {
            let told = observe.next().await.unwrap().unwrap();
            assert_eq!((told.kind, told.record), (ObservedKind::Resynchronise, None), "{id}");
            note(&client, id).await;
        }
        let Turn::Rests(observer) = &observe.turn else {
            panic!("it runs")
        };
        assert!(observer.beyond && observer.known.is_empty() && observer.keys.is_empty());
        // One that begins so says it at once.
        let mut other = client.observe_most("Note", ObserveOptions::default(), 2).await.unwrap();
        assert_eq!(other.next().await.unwrap().unwrap().kind, ObservedKind::Resynchronise);
        client.close().await;
    }

    /// A filter that leaves no room for keys beside it.
    #[tokio::test]
    async fn a_filter_of_the_most_nodes_is_observed_too() {
        let folder = tempfile::tempdir().unwrap();
        let client = client(&folder).await;
        let options = |tests: usize| {
            let each: Vec<Json> = (0..tests)
                .map(|n| json!({ "text": { "ne": format!("no{n}") } }))
                .collect();
            ObserveOptions {
                filter: Some(json!({ "and": each })),
                with_existing: false,
            }
        };
        let mut tests = tombolo_core::limits::FILTER_NODES_MAX;
        let mut observe = loop {
            match client.observe("Note", options(tests)).await {
                Ok(observe) => break observe,
                Err(error) => assert_eq!(error.code(), "request"),
            }
            tests -= 1;
        };
        note(&client, "a").await;
        let told = observe.next().await.unwrap().unwrap();
        assert_eq!((told.kind, told.key), (ObservedKind::Created, json!({ "id": "a" })));
        client.close().await;
    }

    #[test]
    fn a_tombstone_is_told_by_its_meta_alone() {
        let record = |text: &str, deleted: &str| {
            let text = json!(text);
            format!("{{\"id\":\"a\",\"text\":{text},\"_version\":1,\"_deleted\":{deleted},\"_lastChangedAt\":7}}")
        };
        assert!(is_tombstone(&record("t", "true")));
        assert!(!is_tombstone(&record("\"_deleted\":true", "null")));
    }
}
