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
//! The life of a batch is one function, `Relay::deliver` in [`relay`]: claim → encode → append →
//! settle. Every failure ends in one of two ways. Either nothing was appended, and the relay waits
//! and retries. Or the relay does not know the outcome (it is in *doubt*), and recovers first.
//! `docs/protocol.md` has the invariants with their proofs.
//!
//! `docs/protocol.md` has the invariants with their proofs. `docs/architecture.md` names the files
//! of each step, and what to touch for a change.
//!
//! # Terms
//!
//! * *event*: one outbox row; *entry*: one entry of a stream; *batch*: rows claimed together.
//! * *claim*: an open transaction that has deleted rows. *append*: one script in Redis for the
//!   whole batch. *settle*: the commit.
//! * *member*: one running relay of an outbox. *slot*: one of the 64 hash classes of the ordering
//!   key; each belongs to one member. *generation*: the number of the current assignment of slots;
//!   members of older generations are fenced off.
//! * *journal*: Redis's own record of what was appended and may not be settled.
//! * *doubt*: an outcome that the relay does not know. *recovery*: what follows a doubt and a
//!   start.
//! * *parked*: a stream that refuses its events. Claims leave it out until it takes them again.
//!
//! # Invariants
//!
//! * A row leaves the outbox only in a commit that follows Redis's reply, or because the journal
//!   says that it was appended.
//! * No client library repeats a command. If a reply is missing, the relay recovers.
//! * Only a recovery reads the journal; the hot path does not.
//! * A batch is never cancelled between append and settle.
//!
//! # The floors
//!
//! A module imports only what is below it; `tests/it/floors.rs` keeps it so.
//!
//! | floor | what it does |
//! |---|---|
//! | [`cli`] | parses a command line, calls a floor below, prints what it answers |
//! | [`console`] | the same in the browser: pages and actions over `operate` |
//! | [`operate`] | what operators ask for: check, status, dead letters, migrations |
//! | [`daemon`] | wires everything together: supervision, reload, systemd, the admin endpoint |
//! | [`observe`] | what a running relay shows: metrics, health, backlog, spans |
//! | [`config`] | reads a file and the environment, returns validated options |
//! | [`relay`] | claims, routes, encodes, appends, settles |
//!
//! Below them are packages of their own: `outflow-service` (log, signals, terminal, HTTP),
//! `outflow-connect` (addresses, TLS, pools, cluster, sentinels) and `outflow-core`.

pub mod cli;
pub mod config;
pub mod console;
pub mod daemon;
pub mod observe;
pub mod operate;
pub mod relay;
