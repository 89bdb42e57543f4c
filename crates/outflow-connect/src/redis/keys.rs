//! Which slot of a cluster a command belongs to. Pure.

use super::args::Args;

/// Commands that name no key: any node can answer them.
const WITHOUT_KEY: [&str; 14] = [
    "ACL", "AUTH", "CLIENT", "CLUSTER", "CONFIG", "DBSIZE", "DEBUG", "FLUSHALL", "HELLO", "INFO",
    "PING", "SCAN", "SCRIPT", "TIME",
];

/// The slot of a key. Keys with the same hash tag (`{tag}`, the first one in the name) have the
/// same slot, and so has the key that is called like the tag.
pub fn slot(key: &str) -> u16 {
    slot_of(key.as_bytes())
}

/// The slot of a command's first key; the others must be in the same one. `None`: it has no key.
pub(super) fn slot_of_command(command: &str, args: &Args) -> Option<u16> {
    let position = match command {
        "EVAL" | "EVALSHA" => 2,
        "XGROUP" | "XINFO" | "OBJECT" | "MEMORY" => 1,
        "XREAD" | "XREADGROUP" => {
            let streams = (0..args.len())
                .find(|index| args.bytes(*index).is_some_and(|word| word == b"STREAMS"));
            streams? + 1
        }
        keyless if WITHOUT_KEY.contains(&keyless) => return None,
        _ => 0,
    };
    // A script without keys says so.
    if position == 2 && args.number(1) == Some(0) {
        return None;
    }
    args.bytes(position).map(slot_of)
}

fn slot_of(key: &[u8]) -> u16 {
    fred::util::redis_keyslot(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_where_the_command_has_it() {
        let script = |keys: i64| {
            let mut args = Args::from(["a1b2c3"]);
            args.int(keys).word("{k}.journal").word("stream");
            args
        };
        let table: [(&str, Args, Option<&str>); 9] = [
            ("XLEN", ["k"].into(), Some("k")),
            ("XADD", ["{k}.s", "*", "f", "v"].into(), Some("k")),
            ("XGROUP", ["CREATE", "k", "g", "0", "MKSTREAM"].into(), Some("k")),
            ("XINFO", ["GROUPS", "k"].into(), Some("k")),
            ("XREAD", ["COUNT", "1", "BLOCK", "9", "STREAMS", "k", "0"].into(), Some("k")),
            ("EVALSHA", script(1), Some("k")),
            ("EVAL", script(0), None),
            ("EVAL", ["return 1", "0", "k"].into(), None),
            ("INFO", ["server"].into(), None),
        ];
        for (command, args, key) in &table {
            assert_eq!(slot_of_command(command, args), key.map(slot), "{command} {args:?}");
        }
    }

    #[test]
    fn a_hash_tag_decides_the_slot() {
        // From the cluster specification: CRC16 of 123456789 is 0x31C3.
        assert_eq!(slot("123456789"), 0x31C3);
        assert_eq!(slot("{user1000}.following"), slot("{user1000}.followers"));
        assert_eq!(slot("{events.order}.dead"), slot("events.order"));
        assert_ne!(slot("events.order.dead"), slot("events.order"));
    }
}
