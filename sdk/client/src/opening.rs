//! Opening the file, on the writer's thread: saved from damage if need be, with its first scopes, and the machine at work.

use std::sync::Arc;

use tombolo_core::schema::Schema;
use tombolo_machine::{Input, Machine, Scope, ScopeRow, Settings, StoreError, StoreTx};
use tombolo_store::{OpenError, Reader, Salvage, Store};

use crate::builder::check_scope;
use crate::hub::Event;
use crate::import::ImportOrder;
use crate::writer::{Ends, Place, Writer};
use crate::{Error, readers};

/// Where the store keeps which models this file has known: a scope row under a name that no model can have, so that it
/// is written in the same transaction as the scopes and survives with them.
const KNOWN_MODELS: &str = "_known";

/// The writer, the readers, and what was saved if the file was made out of a damaged one.
pub(crate) type Opened = (Writer, Vec<Reader>, Option<Salvage>);

/// What the writer's thread needs to begin.
pub(crate) struct Start {
    pub(crate) place: Place,
    pub(crate) make_folder: bool,
    pub(crate) schema: Arc<Schema>,
    pub(crate) scopes: Option<Vec<Scope>>,
    pub(crate) seed: u64,
    pub(crate) author: Option<String>,
    pub(crate) import: Option<ImportOrder>,
    pub(crate) online: bool,
}

impl Start {
    pub(crate) fn open(self, ends: Ends) -> Result<Opened, Error> {
        if let Some(folder) = self.place.path.parent().filter(|_| self.make_folder) {
            std::fs::create_dir_all(folder).map_err(|source| OpenError::File {
                path: folder.to_owned(),
                source,
            })?;
        }
        let problem = match self.open_file(None) {
            Ok((store, readers)) => match self.begin(store, readers, ends.clone()) {
                Err(Error::Store(StoreError::Corrupt(problem))) => problem,
                begun => return begun,
            },
            Err(
                Error::Open(OpenError::Store(StoreError::Corrupt(problem)))
                | Error::Store(StoreError::Corrupt(problem)),
            ) => problem,
            Err(error) => return Err(error),
        };
        tracing::warn!(%problem, "the database file is damaged; saving what can be read of it");
        let (store, readers) = self.open_file(Some(&problem))?;
        self.begin(store, readers, ends)
    }

    /// With a `problem` out of what can be read of a damaged file.
    fn open_file(&self, problem: Option<&str>) -> Result<(Store, Vec<Reader>), Error> {
        let (path, schema, options) = (&self.place.path, Arc::clone(&self.schema), self.place.options.clone());
        let mut store = match problem {
            None => Store::open(path, schema, options)?,
            Some(problem) => Store::salvage(path, schema, options, problem)?,
        };
        let readers = readers::connect(&store)?;
        self.first_scopes(&mut store)?;
        Ok((store, readers))
    }

    fn begin(&self, store: Store, readers: Vec<Reader>, ends: Ends) -> Result<Opened, Error> {
        let salvage = store.salvaged()?;
        if let Some(salvage) = store.salvage_to_tell()? {
            ends.hub.hold(Event::salvaged(&salvage));
        }
        let settings = Settings {
            seed: self.seed,
            durable_enqueue: store.durable_enqueue(),
            base_sync_by_pages: true,
            author: self.author.clone(),
            ..Settings::default()
        };
        let schema = Arc::clone(&self.schema);
        let machine = Machine::new(Arc::clone(&schema), settings);
        let mut writer = Writer::new(schema, self.place.clone(), store, machine, ends);
        writer.author.clone_from(&self.author);
        writer.step(Input::Start)?;
        writer.import(self.import.clone())?;
        if self.online {
            writer.set_online(true)?;
        }
        Ok((writer, readers, salvage))
    }

    /// Gives models that this file has not known before their first scopes, and notes that it knows them now: in one
    /// transaction, before the machine starts.
    fn first_scopes(&self, store: &mut Store) -> Result<(), Error> {
        let mut tx = store.begin(false)?;
        let rows = tx.scopes()?;
        let known: Vec<String> = rows
            .iter()
            .find(|row| row.model == KNOWN_MODELS)
            .and_then(|row| row.filter.clone())
            .and_then(|names| serde_json::from_value(names).ok())
            .unwrap_or_default();
        let models: Vec<&str> = self.schema.models.iter().map(|m| m.name.as_str()).collect();
        let fresh: Vec<&str> = models
            .iter()
            .copied()
            .filter(|name| !known.iter().any(|k| k == name) && !rows.iter().any(|row| row.model == *name))
            .collect();
        let scopes: Vec<Scope> = match &self.scopes {
            None => fresh
                .iter()
                .map(|model| Scope {
                    model: (*model).to_owned(),
                    filter: None,
                })
                .collect(),
            Some(listed) => {
                for scope in listed {
                    check_scope(&self.schema, scope)?;
                }
                listed
                    .iter()
                    .filter(|scope| fresh.contains(&scope.model.as_str()))
                    .cloned()
                    .collect()
            }
        };
        let mut names: Vec<String> = known;
        names.extend(fresh.iter().map(|name| (*name).to_owned()));
        if !fresh.is_empty() {
            for scope in &scopes {
                tx.put_scope(&ScopeRow::new(scope.clone(), 1))?;
            }
            let marker = Scope {
                model: KNOWN_MODELS.to_owned(),
                filter: Some(serde_json::json!(names)),
            };
            tx.put_scope(&ScopeRow::new(marker, 0))?;
            tx.commit()?;
        }
        Ok(())
    }
}
