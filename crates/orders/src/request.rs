//! What `POST /orders` accepts. Every wrong field is found in one pass, so that the caller need not
//! mend them one by one.

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;

use super::json::{Kind, Members};
use super::money;
use super::order::{Item, NewOrder};

/// The currency of an order that names none.
pub const CURRENCY_DEFAULT: &str = "EUR";
/// Items of one order.
pub const ITEMS_MAX: usize = 100;
/// How many of one item.
pub const QUANTITY_MAX: u32 = 1_000_000;
/// Characters of a customer id.
pub const CUSTOMER_ID_CHARS_MAX: usize = 100;
/// Characters of a sku.
pub const SKU_CHARS_MAX: usize = 64;

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where, as a JSON pointer (RFC 6901); empty for the whole body.
    pub pointer: String,
    /// What is wrong with it, and what is expected.
    pub detail: String,
}

/// Why a body is not an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadOrder {
    /// It is not JSON; says where.
    NotJson(String),
    /// These fields are wrong; at least one.
    Fields(Vec<FieldError>),
}

/// Reads and checks a body.
///
/// # Errors
/// See [`BadOrder`].
pub fn parse(body: &[u8]) -> Result<NewOrder, BadOrder> {
    let value: &RawValue =
        serde_json::from_slice(body).map_err(|error| BadOrder::NotJson(error.to_string()))?;
    let mut check = Check(Vec::new());
    let order = check.order(value);
    match order {
        Some(order) if check.0.is_empty() => Ok(order),
        _ => Err(BadOrder::Fields(check.0)),
    }
}

/// The wrong fields found so far. A method that returns nothing has added at least one.
struct Check(Vec<FieldError>);

impl Check {
    fn order(&mut self, value: &RawValue) -> Option<NewOrder> {
        let [customer_id, items, currency] =
            self.object(value, "", ["customer_id", "items", "currency"])?;
        let customer_id = self.required(customer_id, "/customer_id", |check, value, at| {
            check.text(value, at, CUSTOMER_ID_CHARS_MAX)
        });
        let items = self.required(items, "/items", Self::items);
        let currency = match currency {
            None => Some(CURRENCY_DEFAULT.to_owned()),
            Some(value) => self.currency(value, "/currency"),
        };
        Some(NewOrder { customer_id: customer_id?, currency: currency?, items: items? })
    }

    fn items(&mut self, value: &RawValue, at: &str) -> Option<Vec<Item>> {
        if Kind::of(value) != Kind::Array {
            return self.wrong(at, format!("expected an array, found {}", Kind::of(value)));
        }
        let items: Vec<&RawValue> = self.read(value, at)?;
        if items.is_empty() || items.len() > ITEMS_MAX {
            return self
                .wrong(at, format!("expected 1 to {ITEMS_MAX} items, found {}", items.len()));
        }
        let items: Vec<Option<Item>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.item(item, &format!("{at}/{index}")))
            .collect();
        items.into_iter().collect()
    }

    fn item(&mut self, value: &RawValue, at: &str) -> Option<Item> {
        let [sku, quantity, unit_price] =
            self.object(value, at, ["sku", "quantity", "unit_price"])?;
        let sku = self.required(sku, &format!("{at}/sku"), |check, value, at| {
            check.text(value, at, SKU_CHARS_MAX)
        });
        let quantity = self.required(quantity, &format!("{at}/quantity"), Self::quantity);
        let unit_price = self.required(unit_price, &format!("{at}/unit_price"), Self::unit_price);
        Some(Item { sku: sku?, quantity: quantity?, unit_price: unit_price? })
    }

    fn text(&mut self, value: &RawValue, at: &str, chars_max: usize) -> Option<String> {
        if Kind::of(value) != Kind::Text {
            return self.wrong(at, format!("expected a string, found {}", Kind::of(value)));
        }
        let text: String = self.read(value, at)?;
        let count = text.chars().count();
        if text.trim().is_empty() {
            return self.wrong(at, "must not be empty");
        }
        if count > chars_max {
            return self
                .wrong(at, format!("must have at most {chars_max} characters, has {count}"));
        }
        // Postgres cannot store U+0000, and nobody means the others.
        if text.chars().any(char::is_control) {
            return self.wrong(at, "must not contain control characters");
        }
        Some(text)
    }

    fn currency(&mut self, value: &RawValue, at: &str) -> Option<String> {
        let text = self.text(value, at, CUSTOMER_ID_CHARS_MAX)?;
        if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Some(text);
        }
        self.wrong(at, "expected three upper-case letters (ISO 4217), such as \"EUR\"")
    }

    fn quantity(&mut self, value: &RawValue, at: &str) -> Option<u32> {
        if Kind::of(value) != Kind::Number {
            return self.wrong(at, format!("expected an integer, found {}", Kind::of(value)));
        }
        // From the digits: nobody means 1e3.
        match without_zeros(value.get()).parse::<u32>() {
            Ok(quantity) if (1..=QUANTITY_MAX).contains(&quantity) => Some(quantity),
            _ => self.wrong(at, format!("expected an integer from 1 to {QUANTITY_MAX}")),
        }
    }

    fn unit_price(&mut self, value: &RawValue, at: &str) -> Option<Decimal> {
        let text = match Kind::of(value) {
            Kind::Text => self.read(value, at)?,
            Kind::Number => without_zeros(value.get()).to_owned(),
            other @ (Kind::Object | Kind::Array | Kind::Boolean | Kind::Null) => {
                return self.wrong(
                    at,
                    format!("expected an amount as a string or a number, found {other}"),
                );
            }
        };
        money::unit_price(&text).map_err(|error| self.note(at, error.to_string())).ok()
    }

    /// The members called `names`, each `None` where it is missing. Unknown and repeated ones are
    /// wrong fields, but do not keep the others from being checked.
    fn object<'a, const N: usize>(
        &mut self,
        value: &'a RawValue,
        at: &str,
        names: [&str; N],
    ) -> Option<[Option<&'a RawValue>; N]> {
        if Kind::of(value) != Kind::Object {
            return self.wrong(at, format!("expected an object, found {}", Kind::of(value)));
        }
        let Members(members) = self.read(value, at)?;
        let mut found = [None; N];
        for (name, value) in members {
            let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            match names.iter().position(|known| *known == name) {
                Some(index) if found[index].is_none() => found[index] = Some(value),
                Some(_) => self.note(&pointer, "is given more than once"),
                None => {
                    self.note(&pointer, format!("unknown field; expected {}", names.join(", ")));
                }
            }
        }
        Some(found)
    }

    fn required<T>(
        &mut self,
        value: Option<&RawValue>,
        at: &str,
        read: impl FnOnce(&mut Self, &RawValue, &str) -> Option<T>,
    ) -> Option<T> {
        match value {
            Some(value) => read(self, value, at),
            None => self.wrong(at, "is required"),
        }
    }

    /// The kind was checked and the syntax is valid: what is left to fail is a string that is no
    /// Unicode text.
    fn read<'a, T: serde::Deserialize<'a>>(&mut self, value: &'a RawValue, at: &str) -> Option<T> {
        serde_json::from_str(value.get())
            .map_err(|_| self.note(at, "is not valid Unicode text"))
            .ok()
    }

    fn wrong<T>(&mut self, at: &str, detail: impl Into<String>) -> Option<T> {
        self.note(at, detail);
        None
    }

    fn note(&mut self, at: &str, detail: impl Into<String>) {
        self.0.push(FieldError { pointer: at.to_owned(), detail: detail.into() });
    }
}

/// A number without zeros at the end of its fraction: 2.0 is the integer 2, as JSON Schema has it.
fn without_zeros(number: &str) -> &str {
    if !number.contains('.') || number.contains(['e', 'E']) {
        return number;
    }
    number.trim_end_matches('0').trim_end_matches('.')
}
