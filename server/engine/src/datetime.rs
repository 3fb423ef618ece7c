//! `AWSDateTime` from epoch milliseconds, as AppSync's `util.time.nowISO8601()` writes it.

use jiff::Timestamp;

/// `2013-01-01T10:15:30.123Z`. A clock before 1970 or beyond what can be written is held at the bound.
pub(crate) fn iso8601(epoch_ms: i64) -> String {
    let moment = Timestamp::from_millisecond(epoch_ms.max(0)).unwrap_or(Timestamp::MAX);
    format!("{moment:.3}")
}

#[cfg(test)]
mod tests {
    use super::iso8601;

    #[test]
    fn known_moments() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_356_998_400_000, "2013-01-01T00:00:00.000Z"),
            (1_709_251_200_123, "2024-03-01T00:00:00.123Z"),
            (-1, "1970-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-30T22:00:00.999Z"),
        ] {
            assert_eq!(iso8601(ms), text);
        }
    }
}
