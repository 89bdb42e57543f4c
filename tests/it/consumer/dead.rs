//! The dead letters of order-consumer.
