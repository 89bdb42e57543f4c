//! The statement that creates the default event table where it is missing. Pure.

use crate::relay::kept::ring::Ring;
use crate::relay::options::{KeepLayout, OutboxOptions, Settle};
use outflow_core::table_name::quote_literal;

pub(super) fn create(outbox: &OutboxOptions) -> String {
    let table = outbox.table.quoted();
    let Settle::Keep(keep) = &outbox.settle else {
        return include_str!("event_table.sql").replace("{table}", &table);
    };
    let (primary_key, partition_by, ring) = match keep.layout {
        KeepLayout::Plain => (" primary key", String::new(), String::new()),
        KeepLayout::Ring => {
            let ring = Ring::holding(keep.keep);
            let made = include_str!("ring.sql")
                .replace("{unit}", ring.unit_in_words())
                .replace("{slots}", &ring.slots.to_string())
                .replace("{last}", &(ring.slots - 1).to_string());
            ("", format!(" partition by list (({}))", ring.key("created_at")), made)
        }
    };
    include_str!("kept_table.sql")
        .replace("{ring}", &ring)
        .replace("{primary_key}", primary_key)
        .replace("{partition_by}", &partition_by)
        .replace("{literal}", &quote_literal(&table))
        .replace("{table}", &table)
}
