//! A command's connection to Postgres, and its errors as exit codes.

pub(super) use crate::operate::connect::{failed, to_postgres};
