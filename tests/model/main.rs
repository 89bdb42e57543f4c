//! The model of the protocol (DESIGN §12, item 1): exhaustively checked, and each of its parts shown to be needed.

mod agreement;
mod batch;
mod bounds;
mod check;
mod claim;
mod cursor;
mod faults;
mod liveness;
mod mutants;
mod postgres;
mod properties;
mod recovery;
mod redis;
mod sound;
mod state;
mod step;
mod writer;
