//! The model of the protocol (`docs/protocol.md` §14): exhaustively checked, and each of its parts
//! shown to be needed.
//!
//! States and seconds, measured at `opt-level=2` on two cores that others were using as well:
//!
//! | configuration | states | s |
//! |---|---|---|
//! | one member, any two faults (delivery from every state, too) | 43,976 | 1.5 |
//! | one member, any three faults (delivery: 10.9 s; ignored by default) | 494,107 | 9.6 |
//! | batches of two rows, any two faults | 19,413 | 0.4 |
//! | events that come meanwhile, any two faults | 184,879 | 6.2 |
//! | two members, any fault (delivery: 8.0 s) | 127,673 | 6.1 |
//! | two members, one key, any fault (delivery, too) | 39,275 | 1.8 |
//! | late commits (delivery, too) | 63,304 | 2.6 |
//! | late commits, any fault | 229,049 | 9.3 |
//! | late commits, two members | 17,271 | 0.8 |
//! | late commits in two batches (ignored by default) | 666,834 | 27.6 |
//! | ids before numbers | 496,993 | 18.5 |
//! | a fail-over that loses the last script, one more fault | 22,323 | 0.6 |
//! | such a fail-over, two members | 77,730 | 2.7 |
//! | such a fail-over, two members of one key, one more fault | 244,712 | 5.4 |
//! | a fail-over with `wait_replicas`, one more fault | 41,410 | 1.4 |
//! | such a fail-over, two members | 73,659 | 3.1 |
//! | such a fail-over, two members of one key, one more fault | 685,596 | 11.9 |
//!
//! Two members of one key with any two faults did not end in 40 s.

mod agreement;
mod batch;
mod bounds;
mod check;
mod claim;
mod cursor;
mod failover;
mod faults;
mod kept;
mod liveness;
mod mutants;
mod postgres;
mod properties;
mod recovery;
mod redis;
mod sound;
mod state;
mod step;
mod world;
mod writer;
