//! What people type into forms.

use jiff::Timestamp;

use outflow_core::fault::Fault;

/// A time: a duration ago (`90m`), or a time; none if nothing is given.
///
/// # Errors
/// It is neither.
pub(super) fn when(name: &str, text: &str) -> Result<Option<Timestamp>, Fault> {
    match text.trim() {
        "" => Ok(None),
        text => outflow_service::terminal::since(text)
            .map(Some)
            .map_err(|bad| Fault::failed(format!("{name}: {bad}"))),
    }
}

/// A whole number; none if nothing is given.
///
/// # Errors
/// It is none.
pub(super) fn number(name: &str, text: &str) -> Result<Option<i64>, Fault> {
    match text.trim() {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| Fault::failed(format!("{name}: {text:?} is not a whole number"))),
    }
}

/// A text; none if it is empty.
pub(super) fn given(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}
