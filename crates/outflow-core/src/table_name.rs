//! The name of a table, parsed once and quoted wherever it goes into SQL.

use std::fmt;
use std::str::FromStr;

/// A table's name with its schema. Prints unquoted (`public.outbox`); [`TableName::quoted`] is for
/// SQL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    schema: String,
    table: String,
}

/// Why a text is no table name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a table such as public.outbox, or with quotes \"Sales\".\"Outbox\"")]
pub struct BadTableName;

impl TableName {
    /// For SQL: `"public"."outbox"`.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote_identifier(&self.schema), quote_identifier(&self.table))
    }

    /// The schema, unquoted.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The table, unquoted.
    pub fn table(&self) -> &str {
        &self.table
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

impl FromStr for TableName {
    type Err = BadTableName;

    /// A name without a schema is in `public`. Unquoted parts are taken as they are written, not
    /// folded.
    fn from_str(text: &str) -> Result<Self, BadTableName> {
        let (first, rest) = part(text)?;
        let (schema, table) = match rest.strip_prefix('.') {
            Some(rest) => {
                let (second, rest) = part(rest)?;
                if !rest.is_empty() {
                    return Err(BadTableName);
                }
                (first, second)
            }
            None if rest.is_empty() => ("public".to_owned(), first),
            None => return Err(BadTableName),
        };
        Ok(Self { schema, table })
    }
}

/// Quotes an identifier for SQL.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text for SQL.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// One part of a name, and what follows it.
fn part(text: &str) -> Result<(String, &str), BadTableName> {
    if let Some(mut rest) = text.strip_prefix('"') {
        let mut name = String::new();
        loop {
            let (before, after) = rest.split_once('"').ok_or(BadTableName)?;
            name.push_str(before);
            match after.strip_prefix('"') {
                Some(after) => {
                    name.push('"');
                    rest = after;
                }
                None if name.is_empty() || name.contains('\0') => return Err(BadTableName),
                None => return Ok((name, after)),
            }
        }
    }
    let end = text.find('.').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    if name.is_empty() || !name.chars().all(fits) {
        Err(BadTableName)
    } else {
        Ok((name.to_owned(), rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_quoted() {
        let good = [
            ("outbox", "\"public\".\"outbox\""),
            ("app.outbox", "\"app\".\"outbox\""),
            ("app.Outbox", "\"app\".\"Outbox\""),
            ("\"we.ird\".\"a\"\"b\"", "\"we.ird\".\"a\"\"b\""),
        ];
        for (text, quoted) in good {
            assert_eq!(
                text.parse::<TableName>().map(|name| name.quoted()),
                Ok(quoted.to_owned()),
                "{text}"
            );
        }
        let bad = ["", ".", "a.", ".b", "a.b.c", "a b", "a;b", "\"a", "\"\".b", "a\"b"];
        for text in bad {
            assert_eq!(text.parse::<TableName>(), Err(BadTableName), "{text}");
        }
        assert_eq!((good.len(), bad.len()), (4, 10));
    }

    #[test]
    fn literals_cannot_break_out() {
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\'"), "E'a\\\\'''");
    }
}
