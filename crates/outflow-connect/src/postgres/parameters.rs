//! What becomes of each parameter of an address: tokio-postgres knows fewer than libpq, and says of
//! the others only that something is wrong. Pure.

use crate::address::BadUrl;

/// What becomes of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// Ours: TLS, and the file with passwords.
    Ours,
    /// tokio-postgres takes it as it is.
    Keep,
    /// tokio-postgres takes it under this name, with this value.
    As(&'static str, String),
    /// Nothing needs to be done for what it asks.
    Drop,
}

/// A value is checked by tokio-postgres, or is any text.
const KEPT: [&str; 11] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
    "application_name",
    "channel_binding",
    "load_balance_hosts",
    "keepalives",
];
/// Seconds or counts.
const NUMBERS: [&str; 3] = ["connect_timeout", "keepalives_idle", "keepalives_interval"];
const OURS: [&str; 6] =
    ["sslmode", "sslrootcert", "sslcert", "sslkey", "sslnegotiation", "passfile"];
/// Names with the values that ask for what is done anyway, and what is expected.
const DONE_ANYWAY: [(&str, &[&str], &str); 9] = [
    (
        "target_session_attrs",
        &["any", "read-write", "primary"],
        "read-write or primary: events are taken from a primary",
    ),
    ("gssencmode", &["disable", "prefer"], "disable or prefer: GSSAPI is not supported"),
    (
        "client_encoding",
        &["auto", "utf8", "utf-8", "unicode"],
        "UTF8: no other encoding is supported",
    ),
    ("sslcompression", &["0"], "0: compression is not supported"),
    ("sslsni", &["1"], "1: the server's name is always sent"),
    (
        "ssl_min_protocol_version",
        &["", "tlsv1", "tlsv1.1", "tlsv1.2"],
        "TLSv1.2: the lowest that is ever used",
    ),
    ("ssl_max_protocol_version", &["", "tlsv1.3"], "TLSv1.3: the highest cannot be limited"),
    ("sslcertmode", &["allow"], "allow: give sslcert, or do not"),
    ("replication", &["false", "off", "no", "0"], "nothing: leave it out"),
];
/// libpq's, without an equivalent here.
const UNSUPPORTED: [&str; 14] = [
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "servicefile",
    "sslcrl",
    "sslcrldir",
    "sslpassword",
    "sslkeylogfile",
    "min_protocol_version",
    "max_protocol_version",
];
/// Names that other clients use, and what to do instead.
const FOREIGN: [(&str, &str); 14] = [
    (
        "pgbouncer",
        "it is Prisma's; leave it out, and let the address lead to Postgres itself: Outflow needs \
            sessions of its own",
    ),
    ("schema", "it is Prisma's; leave it out, and name the table with its schema"),
    ("connection_limit", "it is Prisma's; leave it out"),
    ("pool_timeout", "it is Prisma's; leave it out"),
    ("socket_timeout", "it is Prisma's; leave it out"),
    (
        "statement_cache_size",
        "leave it out, and let the address lead to Postgres itself: Outflow needs sessions of its \
            own",
    ),
    ("prepared_statement_cache_size", "leave it out, and let the address lead to Postgres itself"),
    ("currentschema", "it is JDBC's; leave it out, and name the table with its schema"),
    ("applicationname", "it is JDBC's; write application_name"),
    ("ssl", "it is JDBC's; write sslmode"),
    ("pool_max_conns", "it is pgx's; leave it out"),
    ("pool_size", "leave it out"),
    ("search_path", "leave it out, and name the table with its schema"),
    ("statement_timeout", "leave it out: each session sets its own"),
];

/// What becomes of a parameter. `may_name`: its name cannot be a part of a password that was
/// written without quotes or percent-encoding, so that a message may repeat it.
///
/// # Errors
/// What is wrong with it, and what is expected.
pub(super) fn fate(name: &str, value: &str, may_name: bool) -> Result<Fate, BadUrl> {
    if OURS.contains(&name) {
        return Ok(Fate::Ours);
    }
    if KEPT.contains(&name) {
        return Ok(Fate::Keep);
    }
    if NUMBERS.contains(&name) {
        return number(name, value).map(|_| Fate::Keep);
    }
    match name {
        "keepalives_count" | "keepalives_retries" => {
            return number(name, value)
                .map(|count| Fate::As("keepalives_retries", count.to_string()));
        }
        // libpq counts milliseconds, tokio-postgres seconds.
        "tcp_user_timeout" => {
            return number(name, value)
                .map(|ms| Fate::As("tcp_user_timeout", ms.div_ceil(1000).to_string()));
        }
        // The programs have names of their own.
        "fallback_application_name" => return Ok(Fate::Drop),
        _ => {}
    }
    if let Some((_, values, expected)) = DONE_ANYWAY.iter().find(|(known, ..)| *known == name) {
        let is_done = values.contains(&value.to_ascii_lowercase().as_str());
        let bad = || BadUrl::because(format!("{name}: expected {expected}"));
        return if is_done { Ok(Fate::Drop) } else { Err(bad()) };
    }
    if UNSUPPORTED.contains(&name) {
        return Err(BadUrl::because(format!("{name} is not supported")).remedy("leave it out"));
    }
    if let Some((known, advice)) =
        FOREIGN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
    {
        // As it was written, which is no secret if it is one of these.
        let name = if may_name { name } else { known };
        return Err(BadUrl::because(format!("unknown parameter {name:?}: {advice}")));
    }
    Err(unknown(name, may_name))
}

fn unknown(name: &str, may_name: bool) -> BadUrl {
    let known = || {
        KEPT.iter()
            .chain(&NUMBERS)
            .chain(&OURS)
            .chain(&["keepalives_count", "target_session_attrs"])
    };
    let known = || known().chain(&["tcp_user_timeout"]);
    let all = || known().copied().collect::<Vec<_>>().join(", ");
    let looks_like_a_name =
        name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_' || c == '.');
    if !may_name || !looks_like_a_name {
        let what =
            "there is an unknown parameter (not repeated here: it may be part of a password)";
        return BadUrl::because(what).remedy(format!("known ones are {}", all()));
    }
    let near = known().map(|known| (strsim::damerau_levenshtein(name, known), *known)).min();
    let remedy = match near {
        Some((distance, near)) if distance <= name.len().max(3) / 3 => {
            format!("did you mean {near:?}?")
        }
        _ => format!("known ones are {}", all()),
    };
    BadUrl::because(format!("unknown parameter {name:?}")).remedy(remedy)
}

fn number(name: &str, value: &str) -> Result<u32, BadUrl> {
    value.trim().parse().map_err(|_| BadUrl::because(format!("{name}: expected a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_has_its_fate() {
        let table = [
            ("sslmode", "require", Ok(Fate::Ours)),
            ("connect_timeout", "3", Ok(Fate::Keep)),
            ("connect_timeout", "soon", Err("connect_timeout: expected a number")),
            ("tcp_user_timeout", "1500", Ok(Fate::As("tcp_user_timeout", "2".to_owned()))),
            ("keepalives_count", "4", Ok(Fate::As("keepalives_retries", "4".to_owned()))),
            ("target_session_attrs", "primary", Ok(Fate::Drop)),
            ("target_session_attrs", "standby", Err("expected read-write or primary")),
            ("gssencmode", "disable", Ok(Fate::Drop)),
            ("gssencmode", "require", Err("GSSAPI is not supported")),
            ("client_encoding", "UTF8", Ok(Fate::Drop)),
            ("service", "x", Err("service is not supported")),
            ("pgbouncer", "true", Err("\"pgbouncer\": it is Prisma's")),
            ("currentSchema", "app", Err("\"currentSchema\": it is JDBC's")),
            ("conect_timeout", "3", Err("did you mean \"connect_timeout\"?")),
            ("nonsense", "3", Err("unknown parameter \"nonsense\"; known ones are host")),
            ("hunter2", "", Err("not repeated here")),
        ];
        for (name, value, expected) in &table {
            match (fate(name, value, true), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, *expected, "{name}"),
                (Err(found), Err(words)) => {
                    assert!(found.to_string().contains(words), "{name}: {found}");
                }
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
        let unnamed = fate("nonsense", "", false).expect_err("unknown").to_string();
        assert!(!unnamed.contains("nonsense"), "{unnamed}");
    }
}
