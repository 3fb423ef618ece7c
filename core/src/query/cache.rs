//! Parsed documents kept by their text, so that a text seen before costs no parsing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::document::{Document, QueryLimits};
use crate::schema::Schema;
use crate::wire::graphql::GraphqlError;

/// A bounded store of parsed documents of one schema; the one used longest ago goes first. Only valid documents are kept.
#[derive(Debug)]
pub struct Cache {
    entries_max: usize,
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    documents: HashMap<Arc<str>, (Arc<Document>, u64)>,
    by_use: BTreeMap<u64, Arc<str>>,
    clock: u64,
    bytes: usize,
}

impl Cache {
    /// Documents kept by [`Cache::default`]. An app has some tens to some hundreds of distinct operations.
    pub const ENTRIES_MAX: usize = 1_000;
    /// Bytes of document text kept by [`Cache::default`]: 2 MiB. Parsed, a document is some ten times its text.
    pub const BYTES_MAX: usize = 2 << 20;

    /// A cache of at most `entries_max` documents with at most `bytes_max` bytes of text together.
    #[must_use]
    pub fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            entries_max,
            bytes_max,
            kept: Mutex::default(),
        }
    }

    /// The document of `text`, parsed now or kept from before. One cache serves one schema and one set of limits.
    ///
    /// # Errors
    /// Those of [`Document::parse`].
    pub fn parse(
        &self,
        schema: &Arc<Schema>,
        text: &str,
        limits: &QueryLimits,
    ) -> Result<Arc<Document>, Vec<GraphqlError>> {
        if let Some(found) = self.lock().touch(text) {
            return Ok(found);
        }
        let document = Arc::new(Document::parse(schema, text, limits)?);
        if text.len() <= self.bytes_max && self.entries_max > 0 {
            self.lock().insert(text, &document, self.entries_max, self.bytes_max);
        }
        Ok(document)
    }

    /// How many documents are kept now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().documents.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        // A panic elsewhere leaves at worst an entry too many: what is kept is still right.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::new(Self::ENTRIES_MAX, Self::BYTES_MAX)
    }
}

impl Kept {
    fn touch(&mut self, text: &str) -> Option<Arc<Document>> {
        self.clock += 1;
        let now = self.clock;
        let (document, used) = self.documents.get_mut(text)?;
        let before = std::mem::replace(used, now);
        let document = Arc::clone(document);
        if let Some(key) = self.by_use.remove(&before) {
            self.by_use.insert(now, key);
        }
        Some(document)
    }

    fn insert(&mut self, text: &str, document: &Arc<Document>, entries_max: usize, bytes_max: usize) {
        if self.documents.contains_key(text) {
            return;
        }
        while self.documents.len() >= entries_max || self.bytes + text.len() > bytes_max {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            self.documents.remove(&oldest);
            self.bytes -= oldest.len();
        }
        self.clock += 1;
        let key: Arc<str> = text.into();
        self.bytes += key.len();
        self.by_use.insert(self.clock, Arc::clone(&key));
        self.documents.insert(key, (Arc::clone(document), self.clock));
    }
}
