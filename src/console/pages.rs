//! The pages, one file each, and their addresses. A page that acts is posted to its own address;
//! who may, the guard decides.
//!
//! Pages link to each other by these addresses, all with `GET`:
//!
//! | address | what it shows |
//! |---|---|
//! | `/streams`, `/streams/show?name=…` | all streams; one stream |
//! | `/find?text=…` | where an event id, a key or a trace id is |
//! | `/streams/entry?name=…&id=…`, `/streams/group?name=…&group=…` | one entry; one group |
//! | `/dead-letters?outbox=…&reason=…` | dead letters of the relay |
//! | `/dead-letters/stream?name=…` | dead letters of a stream's consumers |
//! | `/actions/pause?outbox=…&stream=…` | asks whether to pause an outbox, or one stream of it |
//! | `/actions/resume?outbox=…&stream=…` | asks whether to resume it |
//! | `/actions/retry?outbox=…&stream=…` | asks whether to retry a parked stream now |

mod actions;
mod audit;
mod check;
mod dead;
mod find;
mod jobs;
mod overview;
mod streams;

use axum::Router;

use super::state::Console;

/// All of them.
pub(super) fn routes() -> Router<Console> {
    Router::new()
        .merge(overview::routes())
        .merge(streams::routes())
        .merge(find::routes())
        .merge(dead::routes())
        .merge(actions::routes())
        .merge(check::routes())
        .merge(audit::routes())
        .merge(jobs::routes())
}
