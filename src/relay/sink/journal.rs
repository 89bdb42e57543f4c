//! The journal's record of one batch: which rows were appended. Written by `append.lua`, read in
//! recovery only. Pure.
//!
//! `<positions left out, with commas>;<rows>`, each row two byte strings (primary key, event id),
//! each with its length before it. The rows are packed here so that the script stores one value for
//! a batch instead of one for a row.

use bytes::{BufMut, Bytes, BytesMut};

use crate::relay::event::{AppendedRow, Event};

/// A record that this version did not write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the journal holds a record that cannot be read ({0}); was its key written to by something \
        else?"
)]
pub(super) struct Unreadable(&'static str);

/// Packs the rows of the events that are to be appended: a record in which no position is left out,
/// which the script stores as it is unless a stream refuses.
pub(super) fn pack<'a>(events: impl Iterator<Item = &'a Event>) -> Bytes {
    let mut packed = BytesMut::from(&b";"[..]);
    for event in events {
        put(&mut packed, &event.row);
        put(&mut packed, &event.id);
    }
    packed.freeze()
}

/// The rows that were appended according to one record, whose writer named them by these columns.
///
/// # Errors
/// [`Unreadable`] if the record is damaged.
pub(super) fn unpack(record: &Bytes, names: &Bytes) -> Result<Vec<AppendedRow>, Unreadable> {
    let end = record.iter().position(|byte| *byte == b';').ok_or(Unreadable("no ';'"))?;
    let left_out = positions(&record[..end])?;
    let mut rest = record.slice(end + 1..);
    let mut rows = Vec::new();
    let mut position = 0;
    while !rest.is_empty() {
        let (row, event_id) = (take(&mut rest)?, take(&mut rest)?);
        if left_out.binary_search(&position).is_err() {
            rows.push(AppendedRow { row, event_id, names: names.clone() });
        }
        position += 1;
    }
    Ok(rows)
}

fn put(packed: &mut BytesMut, bytes: &Bytes) {
    // Bounded by `event_bytes_max`, far below 4 GiB.
    packed.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    packed.put_slice(bytes);
}

fn take(rest: &mut Bytes) -> Result<Bytes, Unreadable> {
    const LENGTH: usize = size_of::<u32>();
    let length = rest.get(..LENGTH).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let length = length.ok_or(Unreadable("a length is cut off"))? as usize;
    if rest.len() < LENGTH + length {
        return Err(Unreadable("a value is cut off"));
    }
    let _length = rest.split_to(LENGTH);
    Ok(rest.split_to(length))
}

/// Ascending, as the script wrote them.
fn positions(list: &[u8]) -> Result<Vec<usize>, Unreadable> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let text = std::str::from_utf8(list).map_err(|_| Unreadable("the positions are no text"))?;
    text.split(',')
        .map(|number| number.parse().map_err(|_| Unreadable("a position is no number")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(left_out: &str, rows: &[(String, String)]) -> Bytes {
        let mut packed = BytesMut::from(format!("{left_out};").as_bytes());
        for (row, event_id) in rows {
            put(&mut packed, &Bytes::from(row.clone()));
            put(&mut packed, &Bytes::from(event_id.clone()));
        }
        packed.freeze()
    }

    #[test]
    fn rows_that_were_left_out_are_not_in_it() {
        let rows = ["1", "2", "3"].map(|row| (row.to_owned(), format!("e{row}")));
        let names = Bytes::from("names");
        let read = unpack(&record("0,2", &rows), &names).expect("readable");
        assert_eq!(
            read,
            [AppendedRow { row: Bytes::from("2"), event_id: Bytes::from("e2"), names }]
        );
    }

    #[test]
    fn damage_is_noticed() {
        let whole = record("", &[("17".to_owned(), "e".to_owned())]);
        let table: [(&str, Bytes); 4] = [
            ("no separator", Bytes::from_static(b"12")),
            ("cut off in a length", whole.slice(..3)),
            ("cut off in a value", whole.slice(..whole.len() - 1)),
            ("no number", Bytes::from_static(b"x;")),
        ];
        for (what, damaged) in &table {
            assert!(unpack(damaged, &Bytes::new()).is_err(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn any_text_survives(rows in prop::collection::vec((".*", ".*"), 0..20)) {
            let read = unpack(&record("", &rows), &Bytes::new()).expect("readable");
            let read: Vec<_> = read.iter().map(|row| (row.row.to_vec(),
                row.event_id.to_vec())).collect();
            let rows: Vec<_> = rows.into_iter().map(|(row, id)| (row.into_bytes(),
                id.into_bytes())).collect();
            prop_assert_eq!(read, rows);
        }
    }
}
