//! Trimming: no entry that a group still needs is dropped, whatever comes in between, and a limit
//! says what it drops.

mod chaos;
mod relay;
mod rule;
