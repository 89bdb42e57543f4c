//! Amounts of money: decimal digits in, decimal digits out, no float in between.

use rust_decimal::Decimal;

/// Every currency is written with this many decimals, whatever it uses itself.
pub const DECIMALS: u32 = 2;
/// The highest unit price. With the limits on quantity and items, a total stays below 10^17
/// (`numeric(20, 2)`).
pub const UNIT_PRICE_MAX: u64 = 1_000_000_000;

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAmount {
    /// Something other than digits with a decimal point.
    #[error("expected an amount in decimal digits, such as \"12.50\"")]
    NotDigits,
    /// Less than nothing.
    #[error("must not be negative")]
    Negative,
    /// More precise than money is.
    #[error("has more than {DECIMALS} decimals")]
    TooPrecise,
    /// More than [`UNIT_PRICE_MAX`].
    #[error("must be at most {UNIT_PRICE_MAX}")]
    TooLarge,
}

/// Reads a unit price from the text of a JSON number or string. No exponents: what looks like `1e2`
/// is more likely to be a float's way of printing itself than a price.
///
/// # Errors
/// See [`BadAmount`].
pub fn unit_price(text: &str) -> Result<Decimal, BadAmount> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(BadAmount::NotDigits);
    }
    if negative {
        return Err(BadAmount::Negative);
    }
    if fraction.len() > DECIMALS as usize {
        return Err(BadAmount::TooPrecise);
    }
    // Too many digits for a Decimal is the only error left.
    let mut amount: Decimal = digits.parse().map_err(|_| BadAmount::TooLarge)?;
    if amount > Decimal::from(UNIT_PRICE_MAX) {
        return Err(BadAmount::TooLarge);
    }
    amount.rescale(DECIMALS);
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use super::{BadAmount, unit_price};

    #[test]
    fn amounts_are_read_exactly_or_refused() {
        let rows = [
            ("0", Ok("0.00")),
            ("0.1", Ok("0.10")),
            ("12.50", Ok("12.50")),
            ("007", Ok("7.00")),
            ("1000000000.00", Ok("1000000000.00")),
            ("1000000000.01", Err(BadAmount::TooLarge)),
            ("99999999999999999999999999999999999999999999", Err(BadAmount::TooLarge)),
            ("0.001", Err(BadAmount::TooPrecise)),
            ("0.100", Err(BadAmount::TooPrecise)),
            ("-1", Err(BadAmount::Negative)),
            ("-0.00", Err(BadAmount::Negative)),
            ("1e2", Err(BadAmount::NotDigits)),
            ("1,50", Err(BadAmount::NotDigits)),
            (".5", Err(BadAmount::NotDigits)),
            ("5.", Err(BadAmount::NotDigits)),
            ("+5", Err(BadAmount::NotDigits)),
            (" 5", Err(BadAmount::NotDigits)),
            ("٣", Err(BadAmount::NotDigits)),
            ("", Err(BadAmount::NotDigits)),
            ("NaN", Err(BadAmount::NotDigits)),
        ];
        for (text, expected) in rows {
            assert_eq!(
                unit_price(text).map(|amount| amount.to_string()),
                expected.map(str::to_owned),
                "{text:?}"
            );
        }
    }
}
