//! Moments as Postgres sends them, to text: RFC 3339 in UTC, and beyond its years the expanded form
//! of ISO 8601 (`+012000-01-01T00:00:00Z`, `-000001-…` for 2 BC), and `infinity`, `-infinity`.
//! Pure.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Postgres counts from 2000-01-01.
const EPOCH_MICROS: i128 = 946_684_800_000_000;
const DAY_MICROS: i128 = 86_400_000_000;
/// The calendar repeats itself.
const CYCLE_YEARS: i128 = 400;
const CYCLE_MICROS: i128 = 146_097 * DAY_MICROS;

/// A `timestamptz`: microseconds.
pub(super) fn write_timestamp(to: &mut impl Write, micros: i64) -> std::fmt::Result {
    match micros {
        i64::MAX => to.write_str("infinity"),
        i64::MIN => to.write_str("-infinity"),
        micros => write_moment(to, i128::from(micros) + EPOCH_MICROS),
    }
}

/// A `date`: days. Its midnight in UTC.
pub(super) fn write_date(to: &mut impl Write, days: i32) -> std::fmt::Result {
    match days {
        i32::MAX => to.write_str("infinity"),
        i32::MIN => to.write_str("-infinity"),
        days => write_moment(to, i128::from(days) * DAY_MICROS + EPOCH_MICROS),
    }
}

fn write_moment(to: &mut impl Write, micros: i128) -> std::fmt::Result {
    let near =
        i64::try_from(micros).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    if let Some(near) = near.filter(|near| *near >= YEAR_0) {
        return write!(to, "{near}");
    }
    // The same moment of a cycle around 1970.
    let cycles = micros.div_euclid(CYCLE_MICROS);
    let Ok(Ok(near)) =
        i64::try_from(micros.rem_euclid(CYCLE_MICROS)).map(Timestamp::from_microsecond)
    else {
        return Err(std::fmt::Error);
    };
    let civil: DateTime = TimeZone::UTC.to_datetime(near);
    let year = i128::from(civil.year()) + cycles * CYCLE_YEARS;
    let text = near.to_string();
    let behind_the_year = text.get(4..).unwrap_or_default();
    if (0..=9999).contains(&year) {
        write!(to, "{year:04}{behind_the_year}")
    } else {
        write!(to, "{year:+07}{behind_the_year}")
    }
}

/// The first moment of RFC 3339. Its last day lies beyond what a `Timestamp` can be.
const YEAR_0: Timestamp = Timestamp::constant(-62_167_219_200, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_that_postgres_has_is_written_as_what_it_is() {
        const DAY: i64 = 86_400_000_000;
        let table = [
            (0, "2000-01-01T00:00:00Z"),
            (1, "2000-01-01T00:00:00.000001Z"),
            (i64::MAX, "infinity"),
            (i64::MIN, "-infinity"),
            // select extract(epoch from '12000-01-01Z'::timestamptz - '2000-01-01Z'::timestamptz) /
            // 86400
            (3_652_425 * DAY, "+012000-01-01T00:00:00Z"),
            (2_921_940 * DAY - 1, "9999-12-31T23:59:59.999999Z"),
            (2_921_940 * DAY, "+010000-01-01T00:00:00Z"),
            (-730_485 * DAY, "0000-01-01T00:00:00Z"),
            (-730_485 * DAY - 1_000_000, "-000001-12-31T23:59:59Z"),
            // 4714-11-24 BC, Postgres's first day.
            (-2_451_545 * DAY, "-004713-11-24T00:00:00Z"),
        ];
        for (micros, expected) in table {
            let mut text = String::new();
            write_timestamp(&mut text, micros).expect("memory");
            assert_eq!(text, expected);
            if micros % DAY == 0 {
                let mut text = String::new();
                write_date(&mut text, i32::try_from(micros / DAY).expect("days")).expect("memory");
                assert_eq!(text, expected);
            }
        }
        let mut text = String::new();
        write_date(&mut text, 2_145_031_948).expect("memory");
        assert_eq!(text, "+5874897-12-31T00:00:00Z", "Postgres's last day");
    }
}
