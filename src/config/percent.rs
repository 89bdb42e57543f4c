//! A percentage as it is typed: `"85%"`, or 0 for none.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// From 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Percent(pub(super) u8);

const EXPECTED: &str = "a percentage such as \"85%\", or 0";

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Typed)
    }
}

struct Typed;

impl Visitor<'_> for Typed {
    type Value = Percent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Percent, E> {
        let number = text.strip_suffix('%').map(str::trim_end).or((text == "0").then_some("0"));
        let number = number.and_then(|number| number.parse().ok()).filter(|number| *number <= 100);
        number.map(Percent).ok_or_else(|| E::custom(format!("found {text:?}, expected {EXPECTED}")))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Percent, E> {
        Self::number(i128::from(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Percent, E> {
        Self::number(i128::from(number))
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Percent, E> {
        Self::number(number)
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<Percent, E> {
        Self::number(i128::try_from(number).unwrap_or(i128::MAX))
    }
}

impl Typed {
    /// 85 may be meant as bytes: only 0 is clear.
    fn number<E: de::Error>(number: i128) -> Result<Percent, E> {
        if number == 0 {
            return Ok(Percent(0));
        }
        Err(E::custom(format!("found {number}, expected {EXPECTED}")))
    }
}
