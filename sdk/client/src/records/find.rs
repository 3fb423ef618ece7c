//! Records by key and by filter, once and live.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde_json::{Map, Value as Json, json};
use tombolo_core::limits::LIST_LIMIT_MAX_LOCAL;
use tombolo_core::query::{Bound, Side};
use tombolo_core::wire::graphql::GraphqlError;

use super::document::{self, PAGE, RECORD};
use super::{key_object, model};
use crate::inner::Inner;
use crate::mutation::wrong_kind;
use crate::{Client, Error, Response, Watch};

/// Which records of a model are wanted, in which order. `Find::of("Note")` is all of them, by key.
///
/// ```
/// # use serde_json::json;
/// # use tombolo::{Find, SortBy};
/// let find = Find {
///     filter: Some(json!({ "text": { "beginsWith": "wet" } })),
///     sort: vec![SortBy::descending("createdAt"), SortBy::ascending("text")],
///     limit: Some(20),
///     ..Find::of("Note")
/// };
/// # assert_eq!(find.model, "Note");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Find {
    /// The model's name.
    pub model: String,
    /// A filter as `listXs` takes it, as JSON.
    pub filter: Option<Json>,
    /// The order, the first step first. Null comes first where it ascends; the key settles the rest. At most
    /// [`tombolo_core::limits::SORT_FIELDS_MAX`].
    pub sort: Vec<SortBy>,
    /// Most records; without it, and at most, [`LIST_LIMIT_MAX_LOCAL`] (100,000).
    pub limit: Option<usize>,
    /// So many records of the order are passed over first. Not together with `token`.
    pub offset: u64,
    /// [`Records::next_token`] of the page before, with the same filter and sort.
    pub token: Option<String>,
}

/// One step of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortBy {
    /// The name of a single scalar or enum field of the model, or `_lastChangedAt`.
    pub field: String,
    /// From the greatest to the least.
    pub descending: bool,
}

impl SortBy {
    /// By this field, from the least to the greatest.
    #[must_use]
    pub fn ascending(field: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            descending: false,
        }
    }

    /// By this field, from the greatest to the least.
    #[must_use]
    pub fn descending(field: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            descending: true,
        }
    }
}

impl Find {
    /// Every record of a model.
    #[must_use]
    pub fn of(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            ..Self::default()
        }
    }

    pub(super) fn bind(self, inner: &Inner) -> Result<Bound, Error> {
        let id = model(&inner.schema, &self.model)?;
        let texts = inner.record_documents.of(&inner.schema, id);
        let text = document::absent(texts.list.as_ref(), inner.schema.model(id), "list")?;
        if !self.sort.is_empty() && !texts.sorts {
            return Err(wrong_kind(&format!(
                "{} cannot be sorted: its key has a field called `sort`, which is that argument",
                self.model
            )));
        }
        if self.offset > 0 && self.token.is_some() {
            return Err(wrong_kind("`offset` counts from the first record: give it or `token`"));
        }
        let sort: Vec<Json> = self
            .sort
            .iter()
            .map(|by| json!({ "field": by.field, "direction": if by.descending { "DESC" } else { "ASC" } }))
            .collect();
        let mut variables = Map::new();
        let limit = self.limit.unwrap_or(LIST_LIMIT_MAX_LOCAL).min(LIST_LIMIT_MAX_LOCAL);
        variables.insert("limit".to_owned(), json!(limit));
        for (name, value) in [
            ("filter", self.filter),
            ("sort", (!sort.is_empty()).then_some(Json::Array(sort))),
            ("nextToken", self.token.map(Json::String)),
        ] {
            variables.extend(value.map(|value| (name.to_owned(), value)));
        }
        let mut bound = inner.bind_records(text, variables, Side::Replica)?;
        bound.skip(0, self.offset);
        Ok(bound)
    }
}

/// Some records as JSON: `{"items":[…],"nextToken":…}`, in one piece and never taken apart.
///
/// An item has every own field of its model under the field's name: scalars, enums and embedded values, the keys of its
/// relations, and `_version` (0: the server has not seen it), `_deleted` and `_lastChangedAt`. What may be null and is none is
/// `null`. Embedded values are whole, however deep they nest.
///
/// `Debug` shows sizes, not values.
#[derive(Clone, PartialEq)]
pub struct Records {
    response: Response,
}

impl Records {
    fn new(response: Response) -> Result<Self, Error> {
        match inside(response.data(), PAGE) {
            Some("null") | None => Err(Error::Answer(response.errors().to_vec())),
            Some(_) => Ok(Self { response }),
        }
    }

    /// The JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        inside(self.response.data(), PAGE).unwrap_or_default()
    }

    /// What leads to the next page; `None` if these were the last.
    #[must_use]
    pub fn next_token(&self) -> Option<&str> {
        let (_, token) = self.json().rsplit_once("\"nextToken\":")?;
        token.strip_prefix('"')?.strip_suffix("\"}")
    }

    /// What is wrong with single records, which are `null` among the items: a value that is not of its field's type. Empty in a
    /// file that only this SDK wrote.
    #[must_use]
    pub fn errors(&self) -> &[GraphqlError] {
        self.response.errors()
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({} B, {} errors)", self.json().len(), self.errors().len())
    }
}

/// A live [`Find`]: a [`Stream`] with the ways of [`Watch`].
#[derive(Debug)]
pub struct WatchFind(Watch);

impl WatchFind {
    /// The records now, then each time that they have become others. `None` once the client is closed.
    ///
    /// Cancel safe: a future that is dropped before it is ready has lost nothing.
    pub async fn next(&mut self) -> Option<Result<Records, Error>> {
        Some(self.0.next().await?.and_then(Records::new))
    }
}

impl Stream for WatchFind {
    type Item = Result<Records, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(item.map(|answer| answer.and_then(Records::new)))
    }
}

/// The text of the one member `name` of an answer's data; `None` if there is none.
pub(super) fn inside<'d>(data: &'d str, name: &str) -> Option<&'d str> {
    let member = data.strip_prefix("{\"")?.strip_prefix(name)?;
    member.strip_prefix("\":")?.strip_suffix('}')
}

/// The record of an answer; `None` for null without an error.
pub(super) fn record(response: &Response) -> Result<Option<String>, Error> {
    match inside(response.data(), RECORD) {
        Some("null") | None if response.errors().is_empty() => Ok(None),
        Some("null") | None => Err(Error::Answer(response.errors().to_vec())),
        Some(record) => Ok(Some(record.to_owned())),
    }
}

impl Client {
    /// Finds records of a model in the local file: one snapshot, one buffer. See [`Find`] and [`Records`].
    ///
    /// ```
    #[doc = include_str!("../../doc/open.rs")]
    /// # use serde_json::json;
    /// # use tombolo::{Find, Save, SortBy};
    /// for text in ["wet", "dry"] {
    ///     client.save(Save::record("Note", json!({ "text": text }))).await?;
    /// }
    /// let found = client.find(Find { sort: vec![SortBy::ascending("text")], limit: Some(1), ..Find::of("Note") }).await?;
    /// assert!(found.json().starts_with(r#"{"items":[{"id":"#) && found.json().contains(r#""text":"dry""#));
    /// let next = found.next_token().map(str::to_owned);
    /// let rest = client.find(Find { sort: vec![SortBy::ascending("text")], token: next, ..Find::of("Note") }).await?;
    /// assert!(rest.json().contains(r#""text":"wet""#) && rest.next_token().is_none());
    #[doc = include_str!("../../doc/close.rs")]
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::Request`] for a filter, an order or a token that the model does not take;
    /// [`Error::Store`] if the file cannot be read.
    pub async fn find(&self, find: Find) -> Result<Records, Error> {
        let bound = find.bind(&self.inner)?;
        Records::new(self.inner.query(bound).await?)
    }

    /// Finds records, and again whenever they have become others: what [`Client::find`] gives as [`Client::watch`] has it.
    ///
    /// ```
    #[doc = include_str!("../../doc/open.rs")]
    /// # use serde_json::json;
    /// # use tombolo::{Find, Save};
    /// let mut notes = client.watch_find(Find::of("Note"))?;
    /// assert_eq!(notes.next().await.unwrap()?.json(), r#"{"items":[],"nextToken":null}"#);
    /// client.save(Save::record("Note", json!({ "text": "wet" }))).await?;
    /// assert!(notes.next().await.unwrap()?.json().contains(r#""text":"wet""#));
    #[doc = include_str!("../../doc/close.rs")]
    /// ```
    ///
    /// # Errors
    /// As [`Client::find`].
    pub fn watch_find(&self, find: Find) -> Result<WatchFind, Error> {
        let bound = find.bind(&self.inner)?;
        Ok(WatchFind(self.inner.watch(bound)?))
    }

    /// One record by its key, as JSON; `None` if this replica does not hold it. A key is an object by field (a whole record will
    /// do), or the value alone where it has one field.
    ///
    /// ```
    #[doc = include_str!("../../doc/open.rs")]
    /// # use serde_json::json;
    /// # use tombolo::Save;
    /// client.save(Save::record("Note", json!({ "id": "n1", "text": "wet" }))).await?;
    /// assert!(client.get("Note", json!("n1")).await?.unwrap().starts_with(r#"{"id":"n1","text":"wet""#));
    /// assert_eq!(client.get("Note", json!({ "id": "n2" })).await?, None);
    #[doc = include_str!("../../doc/close.rs")]
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::Request`] for what is no key of the model; [`Error::Answer`] if a value of the record
    /// is not of its field's type; [`Error::Store`] if the file cannot be read.
    pub async fn get(&self, model_name: &str, key: Json) -> Result<Option<String>, Error> {
        let inner = &self.inner;
        let id = model(&inner.schema, model_name)?;
        let model = inner.schema.model(id);
        let variables = key_object(model, key)?;
        let texts = inner.record_documents.of(&inner.schema, id);
        let bound = inner.bind_records(
            document::absent(texts.get.as_ref(), model, "get")?,
            variables,
            Side::Replica,
        )?;
        record(&inner.query(bound).await?)
    }
}
