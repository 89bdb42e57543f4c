//! Outflow: a transactional-outbox relay from Postgres to Redis Streams.
//!
//! ```text
//!             Postgres                                Outflow                                    Redis
//!   app tx ─▶ outbox table ── claim ──▶ route, encode (pure) ── append (one script a batch) ──▶ streams + journal
//!                ▲    │                                              │
//!                │    └──────────── settle: COMMIT the delete ◀──────┘ one result per stream
//!        wake: NOTIFY only while asleep, else polling
//! ```
//!
//! A batch's life is one function, `Relay::deliver` in [`relay`]: claim → encode → append → settle.
//! Everything that can go wrong ends in one of two ways: nothing was appended (wait, try again), or
//! there is *doubt* (recover first).
//!
//! # The words
//!
//! * *event*: one outbox row; *entry*: one entry of a stream; *batch*: rows claimed together.
//! * *claim*: a transaction that has deleted rows and not yet committed. *append*: one script in
//!   Redis for the whole batch. *settle*: the commit.
//! * *member*: one running relay of an outbox. *slot*: one of the 64 hash classes of the ordering
//!   key; each belongs to one member. *generation*: the number of the current share-out of slots;
//!   older ones are fenced off.
//! * *journal*: Redis's own record of what was appended and may not be settled.
//! * *doubt*: any outcome that the relay does not know. *recovery*: what follows it, start-up
//!   included.
//! * *parked*: a stream that refuses its events, left out of the claims until it takes them again.
//!
//! # What holds everywhere
//!
//! * Rows leave the outbox only in a commit that follows Redis's answer, or because the journal
//!   says they were appended.
//! * No command is repeated by a client library; whoever has no answer recovers.
//! * Nothing is looked up on the hot path: the journal is read in recovery only.
//! * A batch is never cancelled between append and settle.
//!
//! Deliberately absent: threads of our own, globals, detached tasks, a second way to settle,
//! retries of appends.
//!
//! # The modules, in reading order
//!
//! [`event`] the nouns · [`relay`] the life of a batch · [`outbox`] the Postgres side, with its
//! contract · [`sink`] the Redis side, with its contract · [`route`] and [`encode`], pure ·
//! [`daemon`] wires them together · [`config`], [`cli`], [`admin`] over [`http`], [`health`],
//! [`metrics`], [`migrate`], [`notify`] (systemd), [`progress`], [`roster`], [`signals`],
//! [`summary`], [`telemetry`], [`spans`] around it, `terminal` for all commands, `words` for
//! libraries' errors, `who` runs a command · for operators [`check`], [`status`], [`dead`] letters,
//! [`backlog`] and the [`gauge`] that follows it, [`age`] of an event · [`postgres`] and [`redis`]
//! the connections, [`tls`], [`certificates`] and [`secret_file`] for them, `address` for both,
//! [`columns`] of a table, [`table_name`] · [`producer`], [`consumer`] for applications ·
//! [`orders`] the companions' small domain · [`local`] private servers for demo and tests.

pub mod admin;
pub mod backlog;
pub mod certificates;
pub mod check;
pub mod cli;
pub mod columns;
pub mod config;
pub mod daemon;
pub mod dead;
pub mod encode;
pub mod event;
pub mod gauge;
pub mod health;
pub mod metrics;
pub mod migrate;
pub mod notify;
pub mod outbox;
pub mod progress;
pub mod relay;
pub mod roster;
pub mod route;
pub mod sink;
pub mod spans;
pub mod status;
pub mod summary;
