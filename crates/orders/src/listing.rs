//! What `GET /orders` can be asked, and a page of the answer.

use serde::Serialize;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::order::{Order, Status};
use super::request::FieldError;

/// Orders on a page unless another number is asked for.
const LIMIT_DEFAULT: u16 = 50;
/// Orders on a page at most.
const LIMIT_MAX: u16 = 200;

/// Which orders are wanted, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Of this customer.
    pub customer_id: Option<String>,
    /// In this state.
    pub status: Option<Status>,
    /// Older than this order, the last one of the page before.
    pub before: Option<Uuid>,
    /// How many.
    pub limit: u16,
}

/// A page of orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The newest first.
    pub orders: Vec<Order>,
    /// What to ask for as `cursor` to get the next page; `null` on the last one.
    pub next: Option<String>,
}

impl Listing {
    /// Reads the query of a URL.
    ///
    /// # Errors
    /// Every parameter that is wrong.
    pub fn parse(query: &str) -> Result<Self, Vec<FieldError>> {
        let mut listing =
            Self { customer_id: None, status: None, before: None, limit: LIMIT_DEFAULT };
        let (mut seen, mut errors) = (Vec::new(), Vec::new());
        if percent_encoding::percent_decode_str(query).decode_utf8().is_err() {
            return Err(vec![FieldError {
                pointer: "?".to_owned(),
                detail: "is not UTF-8".to_owned(),
            }]);
        }
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let wrong = |detail: &str| FieldError {
                pointer: format!("?{name}"),
                detail: detail.to_owned(),
            };
            if seen.contains(&name) {
                errors.push(wrong("is there twice"));
                continue;
            }
            let read = match &*name {
                // Postgres has no such text, so nobody has it.
                "customer_id" if value.contains('\0') => Err("has a NUL in it"),
                "customer_id" => {
                    listing.customer_id = Some(value.into_owned());
                    Ok(())
                }
                "status" => match Status::from_name(&value) {
                    Some(status) => {
                        listing.status = Some(status);
                        Ok(())
                    }
                    None => Err("expected created, confirmed, rejected or cancelled"),
                },
                "cursor" => match id(&value) {
                    Some(before) => {
                        listing.before = Some(before);
                        Ok(())
                    }
                    None => Err("expected the `next` of a page"),
                },
                "limit" => match value.parse() {
                    // Neither "+5" nor "05", which are no numbers to JSON.
                    Ok(limit)
                        if value.starts_with(|first| matches!(first, '1'..='9'))
                            && limit <= LIMIT_MAX =>
                    {
                        listing.limit = limit;
                        Ok(())
                    }
                    _ => Err("expected 1 to 200"),
                },
                _ => {
                    // Not noted as seen: there may be thousands.
                    errors.push(wrong("unknown; there are customer_id, status, cursor and limit"));
                    continue;
                }
            };
            errors.extend(read.err().map(wrong));
            seen.push(name.clone());
        }
        if errors.is_empty() { Ok(listing) } else { Err(errors) }
    }
}

/// An id as we write ids ourselves. Uuid's parser also takes braces, `urn:uuid:` and digits alone.
pub(super) fn id(text: &str) -> Option<Uuid> {
    if text.len() == Hyphenated::LENGTH { text.parse().ok() } else { None }
}

impl Page {
    /// Of one order more than there is room for, if there are as many.
    pub(super) fn of(mut orders: Vec<Order>, limit: u16) -> Self {
        let more = orders.len() > usize::from(limit);
        orders.truncate(limit.into());
        let next = if more { orders.last().map(|order| order.order_id.to_string()) } else { None };
        Self { orders, next }
    }
}

#[cfg(test)]
mod tests {
    use super::Listing;

    #[test]
    fn queries_are_read_or_refused_by_name() {
        let rows: [(&str, &[&str]); 16] = [
            ("customer_id=%ff", &["?"]),
            ("", &[]),
            ("customer_id=c%201&status=confirmed&limit=200", &[]),
            ("cursor=01a1fd8d-0fc2-74c0-8cfc-824c6d6f56eb", &[]),
            ("status=lost&limit=0", &["?status", "?limit"]),
            ("limit=201", &["?limit"]),
            ("cursor=next", &["?cursor"]),
            ("customer_id=%00", &["?customer_id"]),
            ("limit=1&limit=2", &["?limit"]),
            ("page=2", &["?page"]),
            ("limit=%2B5", &["?limit"]),
            ("limit=05", &["?limit"]),
            ("limit=5.0", &["?limit"]),
            ("cursor=%7B01a1fd8d-0fc2-74c0-8cfc-824c6d6f56eb%7D", &["?cursor"]),
            ("cursor=urn:uuid:01a1fd8d-0fc2-74c0-8cfc-824c6d6f56eb", &["?cursor"]),
            ("cursor=01a1fd8d0fc274c08cfc824c6d6f56eb", &["?cursor"]),
        ];
        for (query, wrong) in rows {
            let errors = Listing::parse(query).err().unwrap_or_default();
            assert_eq!(
                errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(),
                wrong,
                "{query}"
            );
        }
    }
}
