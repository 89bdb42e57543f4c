//! Writing events into an outbox table, inside the transaction of the application.
