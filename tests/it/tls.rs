//! TLS to both servers, with certificates made for the test: what each mode accepts, and every
//! wrong one with its words.

mod postgres;
mod redis;
mod stage;
mod whole;
