//! What changes on the overview.

use maud::{Markup, html};

use super::{outbox, wrong};
use crate::console::access::Viewer;
use crate::console::live::Seen;
use crate::console::parts;
use crate::console::state::Console;

/// How things stand; `None`: nothing is known yet.
pub(super) fn of(console: &Console, viewer: &Viewer, seen: Option<&Seen>) -> Markup {
    let Some(seen) = seen else {
        return html! {
            p.notice role="status" {
                "The databases have not answered yet. This page fills in when they do; without \
                    JavaScript, reload it."
            }
        };
    };
    let status = &seen.status;
    html! {
        @if seen.is_old() {
            p.notice.warning role="status" {
                "The databases take long to answer: this is how things stood at "
                (parts::time(status.at)) "."
            }
        }
        (wrong::list(viewer, status))
        @for one in &status.outboxes {
            (outbox::section(console, viewer, one, status.postgres_problem.is_none()))
        }
        p.hint.asked { "Asked at " (parts::time(status.at)) "." }
    }
}
