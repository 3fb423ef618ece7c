//! The table on standard output and the same as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::host::{Host, bytes};

/// How a figure is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// More is better: something per second.
    PerSecond,
    /// Less is better: seconds.
    Seconds,
    /// Less is better: bytes.
    Bytes,
}

impl Unit {
    /// How many times the limit's cost the product's is: 1 is the limit itself, whichever way the figure counts.
    fn ratio(self, figure: f64, limit: f64) -> f64 {
        match self {
            Self::PerSecond => limit / figure,
            Self::Seconds | Self::Bytes => figure / limit,
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{} /s", thousands(value)),
            Self::Seconds if value >= 1.0 => format!("{value:.2} s"),
            Self::Seconds if value >= 1e-3 => format!("{:.2} ms", value * 1e3),
            Self::Seconds => format!("{:.1} µs", value * 1e6),
            Self::Bytes => format!("{} B", thousands(value)),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// `W1`.
    pub(crate) workload: &'static str,
    /// What was measured.
    pub(crate) what: String,
    /// How to read the two values.
    pub(crate) unit: Unit,
    /// The product's value.
    pub(crate) figure: f64,
    /// What the limit is.
    pub(crate) limit_what: String,
    /// The limit's value; 0 if it could not be measured.
    pub(crate) limit: f64,
    /// How many times the limit's cost; 0 without a limit.
    pub(crate) ratio: f64,
    /// Peak memory of the process that holds the replicas or the load, if measured.
    pub(crate) client_peak_bytes: Option<u64>,
    /// Peak memory of the server's process, if there was one.
    pub(crate) server_peak_bytes: Option<u64>,
}

impl Line {
    /// A line without memory.
    pub(crate) fn new(workload: &'static str, what: impl Into<String>, unit: Unit, figure: f64) -> Self {
        Self {
            workload,
            what: what.into(),
            unit,
            figure,
            limit_what: String::new(),
            limit: 0.0,
            ratio: 0.0,
            client_peak_bytes: None,
            server_peak_bytes: None,
        }
    }

    /// Sets the limit, if it could be measured.
    #[must_use]
    pub(crate) fn beside(self, what: impl Into<String>, limit: Option<f64>) -> Self {
        match limit {
            Some(limit) => self.against(what, limit),
            None => Self {
                limit_what: what.into(),
                ..self
            },
        }
    }

    /// Sets the limit.
    #[must_use]
    pub(crate) fn against(mut self, what: impl Into<String>, limit: f64) -> Self {
        self.limit_what = what.into();
        self.limit = limit;
        self.ratio = self.unit.ratio(self.figure, limit);
        self
    }

    /// Sets the peaks.
    #[must_use]
    pub(crate) fn memory(mut self, client: Option<u64>, server: Option<u64>) -> Self {
        self.client_peak_bytes = client;
        self.server_peak_bytes = server;
        self
    }
}

/// All of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The command line.
    pub(crate) command: String,
    /// The machine.
    pub(crate) host: Host,
    /// Sizes and durability levels, in words.
    pub(crate) notes: Vec<String>,
    /// The table.
    pub(crate) lines: Vec<Line>,
}

impl Report {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let head = ["", "figure", "", "limit", "", "ratio", "client peak", "server peak"].map(str::to_owned);
        let mut rows = vec![head];
        let nothing = || "n/a".to_owned();
        for line in &self.lines {
            let measured = Some(line.limit).filter(|limit| *limit > 0.0);
            rows.push([
                line.workload.to_owned(),
                line.what.clone(),
                line.unit.show(line.figure),
                line.limit_what.clone(),
                measured.map_or_else(nothing, |limit| line.unit.show(limit)),
                measured.map_or_else(nothing, |_| format!("{:.2}", line.ratio)),
                bytes(line.client_peak_bytes),
                bytes(line.server_peak_bytes),
            ]);
        }
        let mut widths = [0; 8];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = format!("{}\n{}\n", self.command, self.host.describe());
        for note in &self.notes {
            let _ = writeln!(out, "{note}");
        }
        out.push('\n');
        for (place, row) in rows.iter().enumerate() {
            let mut text = String::new();
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                let gap = width - cell.chars().count();
                let (left, right) = if matches!(column, 0 | 1 | 3) {
                    (0, gap)
                } else {
                    (gap, 0)
                };
                let _ = write!(text, "{}{cell}{}  ", " ".repeat(left), " ".repeat(right));
            }
            let _ = writeln!(out, "{}", text.trim_end());
            if place == 0 {
                let _ = writeln!(out, "{}", "-".repeat(widths.iter().sum::<usize>() + 14));
            }
        }
        out.push_str("\nratio: how many times the limit's cost; 1 is the limit itself\n");
        out
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_of_one_is_the_limit_both_ways() {
        let rate = Line::new("W", "", Unit::PerSecond, 500.0).against("", 1000.0);
        let time = Line::new("W", "", Unit::Seconds, 0.002).against("", 0.001);
        assert_eq!((rate.ratio, time.ratio), (2.0, 2.0));
    }

    #[test]
    fn values_have_their_unit() {
        assert_eq!(Unit::PerSecond.show(1_234_567.0), "1 234 567 /s");
        assert_eq!(Unit::PerSecond.show(12.0), "12 /s");
        assert_eq!(Unit::Bytes.show(9_216.4), "9 216 B");
        assert_eq!(Unit::Seconds.show(2.5), "2.50 s");
        assert_eq!(Unit::Seconds.show(0.0025), "2.50 ms");
        assert_eq!(Unit::Seconds.show(0.000_025), "25.0 µs");
    }
}
