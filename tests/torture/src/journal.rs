//! What a phone writes down about its calls: one JSON document a line, in a file that is only ever appended to.
//!
//! A line goes to the operating system in one piece before the call begins, and another one after it returned, so that
//! after a kill the file knows every mutation that was ever acknowledged. (The operating system outlives the kill; a power
//! cut is not what this tests.)

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// The phone is about to call.
    Begin {
        /// Its number on this phone, from 1.
        n: u64,
        /// What.
        op: Op,
    },
    /// The call returned: the mutation is acknowledged.
    End {
        /// Which call.
        n: u64,
        /// The numbers that it gave back, one for each mutation.
        numbers: Vec<u64>,
    },
    /// The call returned an error: nothing is queued.
    Refused {
        /// Which call.
        n: u64,
        /// The error's code.
        code: String,
    },
    /// After a kill: the call that had not returned is in the outbox all the same.
    Found {
        /// Which call.
        n: u64,
        /// The numbers of its mutations.
        numbers: Vec<u64>,
    },
    /// The phone has seen a promise broken.
    Broken {
        /// How.
        words: String,
    },
    /// The phone is open, after so many milliseconds.
    Opened {
        /// How many.
        ms: u64,
    },
}

/// What a call does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Op {
    /// Creates a log.
    Create {
        /// Its id.
        id: String,
    },
    /// Deletes a log that this phone made.
    Delete {
        /// Its id.
        id: String,
    },
    /// Creates two logs, both or none.
    Pair {
        /// The logs.
        ids: [String; 2],
    },
    /// Writes the call's number into a cell of this phone's; creates it the first time.
    Cell {
        /// Its id.
        id: String,
    },
    /// Takes a seat.
    Seat {
        /// Its id.
        id: String,
        /// What it writes: found nowhere else.
        holder: String,
    },
    /// Creates what others create too.
    Claim {
        /// Its id.
        id: String,
    },
    /// Adds to a tally.
    Add {
        /// Its id.
        id: String,
        /// How much, above 0.
        by: i64,
        /// What it writes beside: found nowhere else.
        last: String,
    },
}

/// A phone's journal, open for writing.
#[derive(Debug)]
pub struct Journal(File);

impl Journal {
    /// Opens or makes it, and reads what stands in it. A line that was cut short is cut off: its call never began, or its
    /// return was never told.
    ///
    /// # Errors
    /// The file's.
    pub fn open(path: &Path) -> std::io::Result<(Self, Vec<Line>)> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok((Self(file), parse(&text[..whole])?))
    }

    /// Writes a line.
    ///
    /// # Errors
    /// The file's.
    pub fn write(&mut self, line: &Line) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.0.write_all(&text)
    }
}

/// Reads a journal whose phone is dead.
///
/// # Errors
/// The file's; a journal that is not there is empty.
pub fn read(path: &Path) -> std::io::Result<Vec<Line>> {
    match std::fs::read(path) {
        Ok(text) => {
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
            parse(&text[..whole])
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn parse(text: &[u8]) -> std::io::Result<Vec<Line>> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).map_err(std::io::Error::from))
        .collect()
}

/// A call as its journal tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its number.
    pub n: u64,
    /// What it does.
    pub op: Op,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It returned, or was found in the outbox after a kill: the mutations with these numbers are durable.
    Acknowledged(Vec<u64>),
    /// It returned an error.
    Refused,
    /// It never returned: it happened whole or not at all.
    Unknown,
}

/// The calls of a journal, in order.
#[must_use]
pub fn calls(lines: &[Line]) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for line in lines {
        let (n, fate) = match line {
            Line::Begin { n, op } => {
                calls.push(Call {
                    n: *n,
                    op: op.clone(),
                    fate: Fate::Unknown,
                });
                continue;
            }
            Line::End { n, numbers } | Line::Found { n, numbers } => (*n, Fate::Acknowledged(numbers.clone())),
            Line::Refused { n, .. } => (*n, Fate::Refused),
            Line::Broken { .. } | Line::Opened { .. } => continue,
        };
        // Calls are made one at a time: the line is about one of the newest.
        if let Some(call) = calls.iter_mut().rev().find(|call| call.n == n) {
            call.fate = fate;
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(id: &str) -> Op {
        Op::Create { id: id.to_owned() }
    }

    #[test]
    fn a_line_that_was_cut_short_is_cut_off_and_the_others_stand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let begin = Line::Begin { n: 1, op: create("a") };
        let (mut journal, before) = Journal::open(&path).unwrap();
        assert_eq!(before, []);
        journal.write(&begin).unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"end\":{\"n\":1,")
            .unwrap();
        assert_eq!(read(&path).unwrap(), std::slice::from_ref(&begin));
        let (mut journal, before) = Journal::open(&path).unwrap();
        assert_eq!(before, std::slice::from_ref(&begin));
        let end = Line::End { n: 1, numbers: vec![7] };
        journal.write(&end).unwrap();
        assert_eq!(read(&path).unwrap(), [begin, end]);
    }

    #[test]
    fn a_call_without_a_second_line_is_unknown_until_it_is_found() {
        let mut lines = vec![
            Line::Begin { n: 1, op: create("a") },
            Line::End { n: 1, numbers: vec![1] },
            Line::Begin { n: 2, op: create("b") },
            Line::Begin { n: 3, op: create("c") },
            Line::Refused {
                n: 3,
                code: "REFUSED".into(),
            },
        ];
        let fates = |lines: &[Line]| calls(lines).into_iter().map(|call| call.fate).collect::<Vec<_>>();
        assert_eq!(
            fates(&lines),
            [Fate::Acknowledged(vec![1]), Fate::Unknown, Fate::Refused]
        );
        lines.push(Line::Found { n: 2, numbers: vec![2] });
        assert_eq!(fates(&lines)[1], Fate::Acknowledged(vec![2]));
    }
}
