//! A file's records, one at a time: CSV cells and NDJSON values turned into a create input, checked as far as the types
//! of the input say, so that a bad line is found here and not by the server.
//!
//! Records are counted from 1 (`ordinal`) beside the line on which they begin: a quoted CSV cell may hold line breaks,
//! and blank lines are no records.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::{Map, Value as Json};
use tombolo_core::limits::RECORD_BYTES_MAX;

use super::api::CreateApi;
use super::lines::read_line;
use super::output::Failure;
use crate::cells::{self, CreateField};

/// Columns that an export has and a create does not take: left out without a word.
const KEPT_BY_SERVER: [&str; 6] = [
    "_version",
    "_deleted",
    "_lastChangedAt",
    "__typename",
    "createdAt",
    "updatedAt",
];

/// The two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Comma-separated, the first line names the fields.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

impl Format {
    /// The format that a file's name tells: `.csv`, `.ndjson`, `.jsonl`.
    #[must_use]
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            _ => None,
        }
    }
}

/// One record of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// Which record of the file, from 1.
    pub ordinal: u64,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Its length in the file, in bytes.
    pub bytes: usize,
    /// What it says.
    pub content: Content,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// A create input.
    Input(Map<String, Json>),
    /// A tombstone of an export: nothing to create.
    Tombstone,
    /// It cannot be imported as it stands: why.
    Bad(String),
}

/// Reads a file's records.
pub(super) struct Records {
    source: Source,
    fields: Fields,
    ordinal: u64,
    path: std::path::PathBuf,
}

enum Source {
    Csv {
        reader: Box<csv::Reader<File>>,
        row: csv::ByteRecord,
        columns: Vec<Column>,
    },
    Ndjson {
        reader: BufReader<File>,
        line: u64,
        offset: u64,
    },
}

/// What a CSV column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Field(usize),
    Deleted,
    Ignored,
}

struct Fields {
    list: Vec<CreateField>,
    by_name: HashMap<String, usize>,
    null: Vec<String>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records")
            .field("path", &self.path)
            .field("ordinal", &self.ordinal)
            .finish_non_exhaustive()
    }
}

impl Records {
    /// Opens `path`; `null` are cell texts that mean "no value", beside the empty one.
    ///
    /// # Errors
    /// The file cannot be read, or its CSV header names a field that the model does not have or leaves out one that
    /// every record needs.
    pub(super) fn open(path: &Path, format: Format, api: &CreateApi, null: &[String]) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|e| Failure::file(path, e))?;
        let fields = Fields::new(api, null);
        let source = match format {
            Format::Ndjson => Source::Ndjson {
                reader: BufReader::with_capacity(1 << 16, file),
                line: 0,
                offset: 0,
            },
            Format::Csv => {
                let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
                let header = reader.byte_headers().map_err(|e| csv_failure(path, &e))?;
                let columns = fields.columns(path, header)?;
                Source::Csv {
                    reader: Box::new(reader),
                    row: csv::ByteRecord::new(),
                    columns,
                }
            }
        };
        Ok(Self {
            source,
            fields,
            ordinal: 0,
            path: path.to_owned(),
        })
    }

    /// How far the file has been read, in bytes.
    #[must_use]
    pub(super) fn offset(&self) -> u64 {
        match &self.source {
            Source::Csv { reader, .. } => reader.position().byte(),
            Source::Ndjson { offset, .. } => *offset,
        }
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub(super) fn next_record(&mut self) -> Result<Option<Record>, Failure> {
        let next = match &mut self.source {
            Source::Csv { reader, row, columns } => {
                let start = reader.position().byte();
                if !reader.read_byte_record(row).map_err(|e| csv_failure(&self.path, &e))? {
                    return Ok(None);
                }
                let line = row.position().map_or(0, csv::Position::line);
                let bytes = usize::try_from(reader.position().byte().saturating_sub(start)).unwrap_or(usize::MAX);
                (line, bytes, self.fields.csv(row, columns))
            }
            Source::Ndjson { reader, line, offset } => loop {
                let (text, bytes) = read_line(reader, RECORD_BYTES_MAX).map_err(|e| Failure::file(&self.path, e))?;
                if bytes == 0 {
                    return Ok(None);
                }
                *line += 1;
                *offset += bytes as u64;
                let text = if *line == 1 {
                    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text)
                } else {
                    &text
                };
                if text.trim_ascii().is_empty() {
                    continue;
                }
                break (*line, bytes, self.fields.ndjson(text));
            },
        };
        let (line, bytes, content) = next;
        self.ordinal += 1;
        let content = if bytes > RECORD_BYTES_MAX {
            Content::Bad(format!(
                "the record has {bytes} bytes; the most that one may have is {RECORD_BYTES_MAX}"
            ))
        } else {
            content
        };
        Ok(Some(Record {
            ordinal: self.ordinal,
            line,
            bytes,
            content,
        }))
    }
}

fn csv_failure(path: &Path, error: &csv::Error) -> Failure {
    Failure::file(path, error)
}

impl Fields {
    fn new(api: &CreateApi, null: &[String]) -> Self {
        let by_name = api
            .fields
            .iter()
            .enumerate()
            .map(|(i, f)| (f.name.clone(), i))
            .collect();
        Self {
            list: api.fields.clone(),
            by_name,
            null: null.to_vec(),
        }
    }

    /// What each column of a CSV header is.
    fn columns(&self, path: &Path, header: &csv::ByteRecord) -> Result<Vec<Column>, Failure> {
        let mut columns = Vec::with_capacity(header.len());
        let (mut unknown, mut twice) = (Vec::new(), Vec::new());
        for cell in header {
            let name = String::from_utf8_lossy(cell);
            let name = name.trim_start_matches('\u{feff}').trim();
            let column = match self.by_name.get(name) {
                Some(i) => Column::Field(*i),
                None if name == "_deleted" => Column::Deleted,
                None if KEPT_BY_SERVER.contains(&name) => Column::Ignored,
                None => {
                    unknown.push(format!("`{name}`"));
                    Column::Ignored
                }
            };
            if column != Column::Ignored && columns.contains(&column) {
                twice.push(format!("`{name}`"));
            }
            columns.push(column);
        }
        let missing: Vec<String> = (self.list.iter().enumerate())
            .filter(|(i, f)| f.required && !columns.contains(&Column::Field(*i)))
            .map(|(_, f)| format!("`{}`", f.name))
            .collect();
        let mut problems = Vec::new();
        if !unknown.is_empty() {
            let known: Vec<&str> = self.list.iter().map(|f| f.name.as_str()).collect();
            problems.push(format!(
                "no such field: {} (the model has {})",
                unknown.join(", "),
                known.join(", ")
            ));
        }
        if !twice.is_empty() {
            problems.push(format!("named twice: {}", twice.join(", ")));
        }
        if !missing.is_empty() {
            problems.push(format!(
                "no column for {}, which every record needs",
                missing.join(", ")
            ));
        }
        if problems.is_empty() {
            return Ok(columns);
        }
        Err(Failure::file(
            path,
            format!("the header, line 1: {}", problems.join("; ")),
        ))
    }

    fn csv(&self, row: &csv::ByteRecord, columns: &[Column]) -> Content {
        if row.len() != columns.len() {
            return Content::Bad(format!("{} cells, but the header has {}", row.len(), columns.len()));
        }
        let mut input = Map::new();
        for (cell, column) in row.iter().zip(columns) {
            let Ok(text) = std::str::from_utf8(cell) else {
                return Content::Bad("a cell is not UTF-8 text".to_owned());
            };
            match column {
                Column::Ignored => {}
                Column::Deleted if matches!(text, "true" | "1") => return Content::Tombstone,
                Column::Deleted => {}
                Column::Field(i) => {
                    let Some(field) = self.list.get(*i) else { continue };
                    if text.is_empty() || self.null.iter().any(|n| n == text) {
                        if field.required {
                            return Content::Bad(format!("`{}` is empty, but the model requires it", field.name));
                        }
                        continue;
                    }
                    match cells::value(field, text) {
                        Ok(value) => input.insert(field.name.clone(), value),
                        Err(why) => return Content::Bad(format!("`{}`: {why}", field.name)),
                    };
                }
            }
        }
        Content::Input(input)
    }

    fn ndjson(&self, text: &[u8]) -> Content {
        let given = match serde_json::from_slice::<Json>(text) {
            Ok(Json::Object(given)) => given,
            Ok(_) => return Content::Bad("the line is no JSON object".to_owned()),
            Err(e) => return Content::Bad(format!("the line is no JSON: {e}")),
        };
        if given.get("_deleted") == Some(&Json::Bool(true)) {
            return Content::Tombstone;
        }
        let mut input = Map::with_capacity(given.len());
        for (name, value) in given {
            let Some(field) = self.by_name.get(&name).and_then(|i| self.list.get(*i)) else {
                if KEPT_BY_SERVER.contains(&name.as_str()) {
                    continue;
                }
                return Content::Bad(format!("the model has no field `{name}`"));
            };
            if let Err(why) = cells::check(field, &value) {
                return Content::Bad(format!("`{name}`: {why}"));
            }
            input.insert(name, value);
        }
        match self.list.iter().find(|f| f.required && !input.contains_key(&f.name)) {
            Some(field) => Content::Bad(format!("`{}` is missing, but the model requires it", field.name)),
            None => Content::Input(input),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::cli::api::tests::things;

    fn records(format: Format, text: &[u8]) -> Result<Vec<Record>, Failure> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        let api = things().create("Thing").unwrap();
        let mut records = Records::open(file.path(), format, &api, &["NA".to_owned()])?;
        let mut all = Vec::new();
        while let Some(record) = records.next_record()? {
            all.push(record);
        }
        assert_eq!(records.offset(), text.len() as u64);
        Ok(all)
    }

    fn inputs(format: Format, text: &str) -> Vec<Json> {
        let one = |record: Record| match record.content {
            Content::Input(input) => Json::Object(input),
            Content::Tombstone => Json::from("tombstone"),
            Content::Bad(why) => Json::from(format!("{}: {why}", record.line)),
        };
        records(format, text.as_bytes()).unwrap().into_iter().map(one).collect()
    }

    #[test]
    fn cells_take_the_types_of_their_fields() {
        let text = "name,count,weight,ok,at,colour,tags,place,_version\n\
            a,517.0,2,TRUE,1700000000,RED,\"[\"\"x\"\"]\",\"{\"\"lat\"\":1}\",9\n\
            \"two\nlines\",,NA,0,,,,,\n";
        assert_eq!(
            inputs(Format::Csv, text),
            [
                serde_json::json!({"name":"a","count":517,"weight":2.0,"ok":true,"at":1_700_000_000,"colour":"RED",
                    "tags":["x"],"place":{"lat":1}}),
                serde_json::json!({"name":"two\nlines","ok":false}),
            ]
        );
    }

    #[test]
    fn a_bad_cell_is_told_by_line_and_field() {
        let text = "name,count,colour\na,x,\nb,1.5,\nc,3000000000,\nd,1,GREEN\n,1,\n\"e\nf\",1\ng,1,RED\n";
        assert_eq!(
            inputs(Format::Csv, text),
            [
                Json::from("2: `count`: `x` is no whole number"),
                Json::from("3: `count`: `1.5` is no whole number"),
                Json::from("4: `count`: `3000000000` does not fit in 32 bits"),
                Json::from("5: `colour`: `GREEN` is none of RED, BLUE"),
                Json::from("6: `name` is empty, but the model requires it"),
                Json::from("7: 2 cells, but the header has 3"),
                serde_json::json!({"name":"g","count":1,"colour":"RED"}),
            ]
        );
    }

    #[test]
    fn a_header_that_does_not_fit_is_refused_whole() {
        let failure = records(Format::Csv, b"nam,count,count\n").unwrap_err();
        assert!(failure.message.contains("no such field: `nam`"), "{failure}");
        assert!(failure.message.contains("named twice: `count`"), "{failure}");
        assert!(failure.message.contains("no column for `name`"), "{failure}");
    }

    #[test]
    fn lines_of_json_are_checked_too() {
        let text = "\u{feff}{\"name\":\"a\",\"count\":1,\"_version\":3,\"tags\":null}\n\n[1]\n{\n{\"count\":1}\n\
            {\"name\":\"b\",\"x\":1}\n{\"name\":true}\n{\"name\":\"c\",\"_deleted\":true}\n{\"name\":\"d\"}";
        let got = inputs(Format::Ndjson, text);
        assert_eq!(got.len(), 8);
        assert_eq!(
            got.first(),
            Some(&serde_json::json!({"name":"a","count":1,"tags":null}))
        );
        assert_eq!(got.get(1), Some(&Json::from("3: the line is no JSON object")));
        assert!(
            got.get(2)
                .unwrap()
                .as_str()
                .unwrap()
                .starts_with("4: the line is no JSON: ")
        );
        assert_eq!(
            got.get(3),
            Some(&Json::from("5: `name` is missing, but the model requires it"))
        );
        assert_eq!(got.get(4), Some(&Json::from("6: the model has no field `x`")));
        assert_eq!(got.get(5), Some(&Json::from("7: `name`: true is no text")));
        assert_eq!(got.get(6), Some(&Json::from("tombstone")));
        assert_eq!(got.get(7), Some(&serde_json::json!({"name":"d"})));
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut text = vec![b'x'; RECORD_BYTES_MAX * 2];
        text.extend_from_slice(b"\n{\"name\":\"a\"}\n");
        let got = records(Format::Ndjson, &text).unwrap();
        assert_eq!(got.len(), 2);
        let Content::Bad(why) = &got.first().unwrap().content else {
            unreachable!()
        };
        assert!(why.contains("the most that one may have"), "{why}");
    }

    #[test]
    fn text_that_is_not_utf8_is_one_bad_line() {
        let got = records(Format::Csv, b"name\n\xff\xfe\nb\n").unwrap();
        assert_eq!(got.len(), 2);
        assert!(matches!(got.first().unwrap().content, Content::Bad(_)));
    }
}
