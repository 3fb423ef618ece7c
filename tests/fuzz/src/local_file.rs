//! Damage to a replica's file: bytes that a disk or a foreign program has changed, and values that no version of ours
//! would write into its own tables.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rusqlite::Connection;
use tombolo_machine::{CloseReason, Input, StepError, StoreError};
use tombolo_store::Store;

use crate::{replica, schema};

/// Most edits of one run.
const EDITS: usize = 8;

/// The tables whose contents are edited, and whose columns are asked of the file itself.
const TABLES: [&str; 5] = ["_meta", "_outbox", "_scopes", "_models", "Todo"];

/// Opens the file after the edits that the bytes stand for, and uses it: an error by name, or a replica that answers.
pub fn run(data: &[u8]) {
    // In memory where there is such a place: a run writes the file and syncs it.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .expect("a folder can be made");
    let file = folder.path().join("replica.db");
    let mut bytes = template().to_vec();
    let mut statements = Vec::new();
    let mut edits = Bytes(data);
    for _ in 0..EDITS {
        match edits.next() {
            None => break,
            Some(0) => edits.overwrite(&mut bytes),
            Some(1) => {
                let keep = edits.place(bytes.len());
                bytes.truncate(keep);
            }
            Some(_) => statements.extend(edits.statement()),
        }
    }
    std::fs::write(&file, bytes).expect("the file can be written");
    if !statements.is_empty()
        && let Ok(db) = Connection::open(&file)
    {
        for (sql, value) in statements {
            // It may be damaged already, or the statement may not fit: then it stays as it is.
            let _done = db.execute(&sql, [value]);
        }
    }
    open_and_use(&file);
}

fn open_and_use(file: &Path) {
    let mut store = match Store::open(file, Arc::clone(schema()), replica::options()) {
        Ok(store) => store,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let mut machine = replica::machine();
    for input in [
        Input::Start,
        Input::SetOnline(true),
        Input::LinkOpened,
        Input::Wake,
        Input::LinkClosed(CloseReason::Ended),
    ] {
        let Ok(mut tx) = store.begin(true) else { return };
        match machine.step(&mut tx, input, replica::NOW) {
            Ok(step) => {
                if tx.commit().is_err() {
                    return;
                }
                let _effects = machine.install(step);
            }
            Err(StepError::Store(error)) => return drop(words(&error)),
            Err(error) => panic!("a damaged file is told as a mistake of the app: {error}"),
        }
    }
    for text in replica::QUERIES {
        let Ok(tx) = store.begin(false) else { return };
        if let Err(error) = replica::answer(&tx, text) {
            words(&error);
        }
    }
    match store.reader() {
        Ok(Some(mut reader)) => {
            if let Err(error) = reader.outbox(0, 100) {
                words(&error);
            }
            if let Err(error) = reader.scopes() {
                words(&error);
            }
        }
        Ok(None) => panic!("a file has readers"),
        Err(error) => drop(words(&error)),
    }
}

fn words(error: &StoreError) -> String {
    let words = error.to_string();
    assert!(!words.is_empty());
    words
}

/// The file before the damage.
fn template() -> &'static [u8] {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("replica.db");
        let mut store = Store::open(&file, Arc::clone(schema()), replica::options()).expect("a fresh file opens");
        let mut tx = store.begin(true).expect("a fresh file can be written");
        replica::fill(&mut tx);
        tx.commit().expect("a fresh file can be written");
        drop(store);
        let db = Connection::open(&file).expect("the file opens");
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .expect("nobody else has it open");
        drop(db);
        std::fs::read(&file).expect("the file can be read")
    })
}

/// The fuzzer's bytes, taken from the front.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> usize {
        usize::from(self.next().unwrap_or(0))
    }

    fn place(&mut self, below: usize) -> usize {
        let place = self.byte() << 16 | self.byte() << 8 | self.byte();
        place % below.max(1)
    }

    fn take(&mut self) -> Vec<u8> {
        let count = self.byte().min(self.0.len());
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken.to_vec()
    }

    fn overwrite(&mut self, bytes: &mut [u8]) {
        let at = self.place(bytes.len());
        for (place, byte) in self.take().into_iter().enumerate() {
            if let Some(old) = bytes.get_mut(at + place) {
                *old = byte;
            }
        }
    }

    /// An update of one column in all rows, or in one.
    fn statement(&mut self) -> Option<(String, rusqlite::types::Value)> {
        let table = TABLES[self.byte() % TABLES.len()];
        let columns = columns(table);
        let column = columns.get(self.byte() % columns.len().max(1))?;
        let key = columns.first()?;
        let row = self.byte();
        let value = match self.byte() % 5 {
            0 => rusqlite::types::Value::Null,
            1 => rusqlite::types::Value::Integer(i64::from_le_bytes([
                self.byte() as u8,
                self.byte() as u8,
                0,
                0,
                0,
                0,
                0,
                self.byte() as u8,
            ])),
            2 => rusqlite::types::Value::Real(f64::from(self.byte() as u8) * 1e300),
            3 => rusqlite::types::Value::Text(String::from_utf8_lossy(&self.take()).into_owned()),
            _ => rusqlite::types::Value::Blob(self.take()),
        };
        let which = match row % 4 {
            0 => String::new(),
            n => format!(
                " WHERE \"{key}\" = (SELECT \"{key}\" FROM \"{table}\" ORDER BY \"{key}\" LIMIT 1 OFFSET {})",
                n - 1
            ),
        };
        Some((
            format!("UPDATE OR REPLACE \"{table}\" SET \"{column}\" = ?1{which}"),
            value,
        ))
    }
}

/// The columns of a table, asked once of the file before the damage: the tables may grow with the product.
fn columns(table: &'static str) -> &'static [String] {
    static ASKED: OnceLock<Vec<(&'static str, Vec<String>)>> = OnceLock::new();
    let all = ASKED.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("replica.db");
        std::fs::write(&file, template()).expect("the file can be written");
        let db = Connection::open(&file).expect("the file opens");
        TABLES
            .iter()
            .map(|table| {
                let mut info = db
                    .prepare("SELECT name FROM pragma_table_info(?1)")
                    .expect("SQLite has this pragma");
                let names = info.query_map([table], |row| row.get(0)).expect("the table is there");
                (*table, names.map(|name| name.expect("a name")).collect())
            })
            .collect()
    });
    all.iter()
        .find(|(name, _)| *name == table)
        .map_or(&[], |(_, columns)| columns)
}
