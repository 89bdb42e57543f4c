//! Outflow: a transactional-outbox relay from Postgres to Redis Streams.
//!
//! ```text
//!            Postgres                          Outflow                            Redis
//!  app tx ─▶ outbox table ─ claim ─▶ route, encode ─ append (one script a batch) ─▶ streams
//!               ▲    │                                     │                        + journal
//!               │    └─────── settle: COMMIT the delete ◀──┘ one result per stream
//!        wake: NOTIFY only while asleep, else polling
//! ```
//!
//! A batch's life is one function, `Relay::deliver` in [`relay`]: claim → encode → append → settle.
//! Every failure ends in one of two ways. Either nothing was appended, and the relay waits and
//! tries again. Or the relay is in *doubt*, and recovers first. `docs/protocol.md` has the
//! invariants with their proofs.
//!
//! # The words
//!
//! * *event*: one outbox row; *entry*: one entry of a stream; *batch*: rows claimed together.
//! * *claim*: a transaction that has deleted rows and not yet committed. *append*: one script in
//!   Redis for the whole batch. *settle*: the commit.
//! * *member*: one running relay of an outbox. *slot*: one of the 64 hash classes of the ordering
//!   key; each belongs to one member. *generation*: the number of the current assignment of slots;
//!   members of older generations are fenced off.
//! * *journal*: Redis's own record of what was appended and may not be settled.
//! * *doubt*: any outcome that the relay does not know. *recovery*: what follows it, and every
//!   start.
//! * *parked*: a stream that refuses its events. Claims leave it out until it takes them again.
//!
//! # What holds everywhere
//!
//! * A row leaves the outbox only in a commit that follows Redis's answer, or because the journal
//!   says that it was appended.
//! * No client library repeats a command; whoever has no answer recovers.
//! * The hot path looks nothing up: only a recovery reads the journal.
//! * A batch is never cancelled between append and settle.
//!
//! # The floors
//!
//! A module imports only what is below it; `tests/it/floors.rs` keeps it so.
//!
//! | floor | what it does |
//! |---|---|
//! | [`cli`] | parses a command line, calls a floor below, prints what it answers |
//! | [`operate`] | what operators ask for: check, status, dead letters, migrations |
//! | [`daemon`] | wires everything together: supervision, reload, systemd, the admin endpoint |
//! | [`observe`] | what is seen of a running relay: metrics, health, backlog, spans |
//! | [`config`] | from a file and the environment to validated options |
//! | [`relay`] | claims, routes, encodes, appends, settles |
//!
//! Below them are packages of their own: `outflow-service` (log, signals, terminal, HTTP),
//! `outflow-connect` (addresses, TLS, pools, cluster, sentinels) and `outflow-core`.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod observe;
pub mod operate;
pub mod relay;
