//! The console in the browser: how things stand, and what can be done about it. It works from the
//! two databases alone, so also while every relay is down.
//!
//! A request passes the door (where does it come from?) and the guard (who sends it, and may
//! they?), both in `access/guard.rs`, before a page sees it. A page asks a floor below, shows what
//! it answers in the frame of `layout.rs`, and escapes everything: what events carry is hostile.

mod access;
mod addresses;
mod answer;
mod asking;
mod assets;
mod confirm;
mod contents;
mod form;
mod history;
mod in_force;
mod jobs;
mod layout;
mod link;
mod live;
mod pages;
mod parts;
mod places;
mod routes;
mod said;
mod serve;
mod servers;
mod state;
mod typed;

pub use serve::{Bound, bind};
