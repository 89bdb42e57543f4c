//! The way of every action: a page asks and says how many it concerns ([`confirm`]); its form is
//! posted with the viewer's token; the handler writes the audit, acts, and sends the browser on
//! with what came of it ([`redirect`](super::answer::redirect)).

use axum::response::Response;
use maud::{Markup, html};

use super::access::Viewer;
use super::form::{csrf, hidden};
use super::layout::{self, Section};

/// What is asked before something is done.
pub(super) struct Confirm<'a> {
    /// The page's heading, such as `Retry 12 dead letters?`. It says how many.
    pub(super) question: &'a str,
    /// What will happen, and what cannot be undone.
    pub(super) consequences: Markup,
    /// Where it is posted to.
    pub(super) action: &'a str,
    /// What is posted: the choice as it was counted.
    pub(super) fields: &'a [(&'a str, &'a str)],
    /// Label of the button: the verb and the number.
    pub(super) label: &'a str,
    /// Whether something is lost for good.
    pub(super) is_destructive: bool,
    /// Where "Cancel" leads.
    pub(super) back: &'a str,
}

/// The page that asks.
pub(super) fn confirm(viewer: &Viewer, section: Section, confirm: &Confirm<'_>) -> Response {
    let class = if confirm.is_destructive { "danger" } else { "primary" };
    let body = html! {
        h1 { (confirm.question) }
        div.consequences { (confirm.consequences) }
        @if viewer.may_operate() {
            form.confirm method="post" action=(confirm.action) {
                (csrf(viewer)) (hidden(confirm.fields))
                button.(class) type="submit" { (confirm.label) }
                a.button href=(confirm.back) { "Cancel" }
            }
        } @else {
            p.notice { "Your role is read: you may look, and not act." }
            p { a href=(confirm.back) { "Back" } }
        }
    };
    layout::page(viewer, confirm.question, section, &body)
}
