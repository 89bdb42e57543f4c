//! The model of the kept outbox (`docs/protocol.md` §15). Snapshots, positions, pieces, the
//! share-out and the healing are the relay's own code; the servers, the scripts and the order of
//! the steps are modelled.

mod bounds;
mod member;
mod mutants;
mod postgres;
mod properties;
mod reading;
mod recovery;
mod redis;
mod servers;
mod sound;
mod state;
mod step;
