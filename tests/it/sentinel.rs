//! Real sentinels: finding the master, and following it when it changes.

mod connection;
mod consumer;
mod relay;
