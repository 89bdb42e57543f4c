//! Forms that act: what each of them carries.

use maud::{Markup, html};

use super::access::Viewer;

/// What every form that is posted carries; the guard refuses it otherwise.
pub(super) fn csrf(viewer: &Viewer) -> Markup {
    html! { input type="hidden" name="csrf" value=(viewer.csrf); }
}

/// Fields that are posted as they are.
pub(super) fn hidden(fields: &[(&str, &str)]) -> Markup {
    html! {
        @for (name, value) in fields {
            input type="hidden" name=(name) value=(value);
        }
    }
}

/// A button that posts to `action`, or nothing for who may not act.
pub(super) fn button(
    viewer: &Viewer,
    label: &str,
    action: &str,
    fields: &[(&str, &str)],
) -> Markup {
    html! {
        @if viewer.may_operate() {
            form.inline method="post" action=(action) {
                (csrf(viewer)) (hidden(fields))
                button type="submit" { (label) }
            }
        }
    }
}
