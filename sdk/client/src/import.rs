//! Taking over a file of Amplify DataStore when the client is opened, and what becomes of it afterwards.
//!
//! All of it is one transaction of the replica's file: killed at any moment there is nothing of it or everything. A failure
//! keeps nobody from opening the client: it is told, the old file stays as it is, and the next opening tries again.

use std::path::PathBuf;

use tombolo_machine::{StepError, StoreError};
use tombolo_store::datastore::{Claim, DatastoreFile, ImportError, ImportReport, ImportState};

use crate::Error;
use crate::client::Client;
use crate::hub::Event;
use crate::writer::{Place, Writer};

/// What the app asked for.
#[derive(Clone, Debug)]
pub(crate) struct ImportOrder {
    /// The old file.
    pub path: PathBuf,
    /// It is to be removed when everything in it is settled.
    pub remove: bool,
}

/// An import that this replica knows of.
#[derive(Debug)]
pub(crate) struct Importing {
    order: Option<ImportOrder>,
    report: ImportReport,
}

impl Importing {
    /// Whether something about it is still to come.
    fn is_open(&self) -> bool {
        match self.report.state {
            ImportState::Unsettled => true,
            ImportState::Settled => self.removes() && !self.report.removed,
            ImportState::Failed | ImportState::TakenBefore => false,
        }
    }

    fn removes(&self) -> bool {
        self.order.as_ref().is_some_and(|order| order.remove) && self.report.may_be_removed()
    }
}

impl Client {
    /// What was taken over of a file of Amplify DataStore ([`Builder::import_datastore`](crate::Builder::import_datastore)),
    /// what was left, and how much of it the server is still to settle. `None` if there was no such file.
    ///
    /// ```
    #[doc = include_str!("../doc/open.rs")]
    /// assert_eq!(client.datastore_import(), None);
    #[doc = include_str!("../doc/close.rs")]
    /// ```
    #[must_use]
    pub fn datastore_import(&self) -> Option<ImportReport> {
        self.inner.hub.import()
    }
}

impl Writer {
    /// Takes the old file over, unless that was done before. Only a failure of the replica itself is an error.
    pub(crate) fn import(&mut self, order: Option<ImportOrder>) -> Result<(), Error> {
        let file = self.file.as_mut().ok_or(Error::Suspended)?;
        let known = file.begin(false)?.datastore_report()?;
        let mut to_tell = false;
        let report = match (known, &order) {
            (Some(report), order) => {
                if let Some(order) = order.as_ref().filter(|order| order.path.exists()) {
                    finish_claim(&Claim::of(
                        &order.path,
                        &self.place.path,
                        self.place.options.account.as_deref(),
                    ));
                }
                report
            }
            (None, None) => return Ok(()),
            (None, Some(order)) => match self.take_over(order) {
                Ok(None) => return Ok(()),
                Ok(Some(report)) => {
                    to_tell = report.state != ImportState::TakenBefore;
                    report
                }
                Err(ImportError::Store(error @ StoreError::Corrupt(_))) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "the DataStore file was not taken over");
                    let path = order.path.display().to_string();
                    let mut report = ImportReport::without(path, ImportState::Failed);
                    report.error = Some(error.to_string());
                    to_tell = true;
                    report
                }
            },
        };
        self.ends.hub.set_import(report.clone());
        self.importing = Some(Importing { order, report });
        self.look_at_import();
        if let Some(report) = self.ends.hub.import().filter(|_| to_tell) {
            // As it stands by now: without mutations all is settled.
            self.ends.hub.hold(Event::Imported(Box::new(report)));
        }
        Ok(())
    }

    /// `None` if there is no such file.
    fn take_over(&mut self, order: &ImportOrder) -> Result<Option<ImportReport>, ImportError> {
        let claim = Claim::of(&order.path, &self.place.path, self.place.options.account.as_deref());
        if matches!(order.path.try_exists(), Ok(false)) {
            tracing::info!(path = %order.path.display(), "there is no file of DataStore to take over");
            return Ok(None);
        }
        if !claim.is_free()? {
            let path = order.path.display().to_string();
            return Ok(Some(ImportReport::without(path, ImportState::TakenBefore)));
        }
        let Some(old) = DatastoreFile::open(&order.path, &self.place.path)? else {
            return Ok(None);
        };
        let now = (self.ends.clock)();
        let Some(file) = self.file.as_mut() else {
            return Ok(None);
        };
        let mut tx = file.begin(true)?;
        if let Some(report) = tx.datastore_report()? {
            // Another process was quicker.
            return Ok(Some(report));
        }
        let (mut report, mut queue) = tx.lay_datastore(&old, self.author.as_deref(), self.machine.import_room())?;
        let mutations = std::mem::take(&mut queue.mutations);
        let (step, taken) = self
            .machine
            .import(&mut tx, mutations, now)
            .map_err(|error| match error {
                StepError::Store(error) => error,
                other => StoreError::Other(other.to_string()),
            })?;
        tx.datastore_taken(&mut report, queue, &taken)?;
        // Before the commit: afterwards nobody may believe that the file is still to be had.
        claim.begin()?;
        tx.commit()?;
        finish_claim(&claim);
        let effects = self.machine.install(step);
        self.carry_out(effects);
        Ok(Some(report))
    }

    /// Whether everything that was taken over is settled by now, and what becomes of the old file then.
    pub(crate) fn look_at_import(&mut self) {
        let (Some(importing), Some(file)) = (&mut self.importing, &mut self.file) else {
            return;
        };
        if !importing.is_open() {
            return;
        }
        let unsettled = match file.datastore_unsettled() {
            Ok(unsettled) => unsettled,
            Err(error) => {
                tracing::warn!(%error, "the file cannot be asked what is left of the import");
                return;
            }
        };
        let settled = unsettled == 0;
        if !settled && unsettled == importing.report.unsettled {
            return;
        }
        importing.report.unsettled = unsettled;
        if settled {
            importing.report.state = ImportState::Settled;
            if let Err(error) = settle(file, importing, &self.place) {
                tracing::warn!(%error, "the end of the import could not be noted; tried again with the next opening");
            }
        }
        let report = importing.report.clone();
        self.ends.hub.set_import(report.clone());
        if settled {
            self.ends.hub.event(Event::Imported(Box::new(report)));
        }
    }
}

/// A mark that was begun is finished once the import stands.
fn finish_claim(claim: &Claim) {
    let finished = claim
        .is_free()
        .and_then(|begun| if begun { claim.finish() } else { Ok(()) });
    if let Err(error) = finished {
        // The report in the replica says that the file was taken; the next opening tries again.
        tracing::warn!(%error, "the DataStore file could not be marked as taken over");
    }
}

/// Notes that everything is settled, and removes the old file if the app asked for it.
fn settle(file: &mut tombolo_store::Store, importing: &mut Importing, place: &Place) -> Result<(), ImportError> {
    keep(file, &importing.report)?;
    let Some(order) = &importing.order else { return Ok(()) };
    let claim = Claim::of(&order.path, &place.path, place.options.account.as_deref());
    if importing.removes() {
        claim.remove_all(&order.path)?;
        importing.report.removed = true;
        keep(file, &importing.report)?;
    }
    Ok(())
}

fn keep(file: &mut tombolo_store::Store, report: &ImportReport) -> Result<(), StoreError> {
    let mut tx = file.begin(true)?;
    tx.put_datastore_report(report)?;
    tx.commit()
}
