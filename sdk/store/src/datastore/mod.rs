//! Taking over the file of Amplify DataStore: its records, what they were synced at, and what it had not sent yet.
//!
//! Two adapters wrote such files, and are told apart by their tables:
//!
//! | | iOS (`SQLiteStorageEngineAdapter`) | Android (`SQLiteStorageAdapter`) |
//! |---|---|---|
//! | a table a model, by its name | columns by field; `@@primaryKey` for a key of several fields, `@@postForeignKey` for one of another record | the same |
//! | what a record was synced at | `MutationSyncMetadata` (`Model\|id`, in older releases `id`) | `ModelMetadata` |
//! | the queue | `MutationEvent` | `PersistentRecord` |
//!
//! The old file is never written: it is copied with its log (`copy`) and the copy is read. Rows become view rows of
//! generation 0, so that the first base sync either confirms them or sweeps them (`rows`). The queue becomes
//! [`tombolo_machine::ImportedMutation`]s in order (`queue`), and so do records that the old file alone may have (`uploads`);
//! the machine makes entries of them. Rows, entries and the report are one transaction. A small file beside the old one says
//! that it was taken over (`claim`): by no other replica again, whatever becomes of this one.

mod claim;
mod copy;
mod file;
mod queue;
mod raw;
mod report;
mod rows;
mod text;
mod uploads;
mod values;

use tombolo_core::schema::Schema;
use tombolo_machine::{ImportedMutation, StoreError};

pub use claim::Claim;
pub(crate) use copy::clean;
pub use file::DatastoreFile;
pub use report::{ImportError, ImportFormat, ImportProblem, ImportReport, ImportState, PROBLEMS_MAX};

use uploads::{Upload, Uploads};

use crate::tx::Tx;
use crate::{Store, meta, outbox};

/// Where the report stands in `_meta`.
const REPORT: &str = "datastore_import";

/// What was read of a queue, and where each mutation of it stood.
#[derive(Debug, Default)]
pub struct DatastoreQueue {
    /// In their order.
    pub mutations: Vec<ImportedMutation>,
    /// For each of them what it was made of.
    sources: Vec<Source>,
}

/// What a mutation was made of, for when it cannot be taken.
#[derive(Debug)]
enum Source {
    /// A row of the queue: what is to be told of it.
    Queue(ImportProblem),
    /// A record.
    Record(Upload),
}

impl DatastoreQueue {
    fn add_records(&mut self, schema: &Schema, uploads: Vec<Upload>, author: Option<&str>) {
        for upload in uploads {
            if let Some(mutation) = uploads::creation(schema, &upload, author) {
                self.mutations.push(mutation);
                self.sources.push(Source::Record(upload));
            }
        }
    }
}

impl Tx<'_> {
    /// Lays the records of `file` into the view and reads its queue. The mutations are for
    /// [`tombolo_machine::Machine::import`], in this transaction; [`Tx::datastore_taken`] then notes what came of them.
    /// `room`: how many entries they may be with those of records that the old file knows no version of
    /// ([`tombolo_machine::Machine::import_room`]); records beyond it are laid in and told, mutations are all taken.
    ///
    /// # Errors
    /// [`ImportError`]: the file; drop the transaction then.
    pub fn lay_datastore(
        &mut self,
        file: &DatastoreFile,
        author: Option<&str>,
        room: u64,
    ) -> Result<(ImportReport, DatastoreQueue), ImportError> {
        let mut report = ImportReport::new(file);
        let mut metadata = file.metadata()?;
        if metadata.has_bare() {
            let tables = file.tables()?;
            metadata.forget_shared(file.shared_ids(&tables)?);
        }
        let queue = queue::read(file, self.schema(), &metadata, author, &mut report)?;
        let mut uploads = Uploads::new(room.saturating_sub(queue.len()));
        rows::lay(self, file, &metadata, &queue, &mut uploads, &mut report)?;
        let schema = self.schema();
        let (before, behind) = uploads.in_order(schema, &queue);
        let read = queue.into_queue();
        let mut all = DatastoreQueue::default();
        all.add_records(schema, before, author);
        all.mutations.extend(read.mutations);
        all.sources.extend(read.sources);
        all.add_records(schema, behind, author);
        Ok((report, all))
    }

    /// Notes the numbers of the mutations, and those that could not be taken, and keeps the report with the replica.
    ///
    /// # Errors
    /// The store's.
    pub fn datastore_taken(
        &mut self,
        report: &mut ImportReport,
        queue: DatastoreQueue,
        taken: &[Result<tombolo_core::id::MutationNumber, String>],
    ) -> Result<(), StoreError> {
        for (taken, source) in taken.iter().zip(queue.sources) {
            match (taken, source) {
                (Ok(number), Source::Queue(_)) => report.took(number.0),
                (Err(why), Source::Queue(mut problem)) => {
                    problem.problem.clone_from(why);
                    report.lost(problem);
                }
                (Ok(_), Source::Record(_)) => {
                    report.records += 1;
                    report.uploads += 1;
                }
                (Err(why), Source::Record(upload)) => {
                    let what = format!("it is not uploaded, the old file alone has it: {why}");
                    report.note(&upload.table, Some(&upload.row), None, what);
                    rows::lay_alone(self, &upload, report)?;
                }
            }
        }
        report.unsettled = outbox::imported(self.conn)?;
        self.put_datastore_report(report)
    }

    /// Keeps the report.
    ///
    /// # Errors
    /// The store's.
    pub fn put_datastore_report(&mut self, report: &ImportReport) -> Result<(), StoreError> {
        let text = serde_json::to_string(report).map_err(|error| StoreError::Other(error.to_string()))?;
        meta::set_text(self.conn, REPORT, &text)
    }

    /// The report of the file that was taken over before; `None` if none was.
    ///
    /// # Errors
    /// The store's.
    pub fn datastore_report(&mut self) -> Result<Option<ImportReport>, StoreError> {
        Ok(meta::text(self.conn, REPORT)?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// How many mutations that were taken are not settled yet, or were refused and not taken note of.
    ///
    /// # Errors
    /// The store's.
    pub fn datastore_unsettled(&mut self) -> Result<u64, StoreError> {
        outbox::imported(self.conn)
    }
}

impl Store {
    /// [`Tx::datastore_unsettled`] without a transaction: cheap enough to ask after each.
    ///
    /// # Errors
    /// The store's.
    pub fn datastore_unsettled(&self) -> Result<u64, StoreError> {
        outbox::imported(self.connection())
    }
}
