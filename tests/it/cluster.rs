//! A real Redis cluster: finding the node, slots on the move, nodes that fail.

mod connection;
mod consumer;
mod relay;
