//! The frame of every page: head, navigation, who is logged in.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::access::paths::LOG_OUT;
use super::access::{By, Viewer};
use super::assets::ASSETS;
use super::form;
use super::parts::shown;

/// htmx without what the policy forbids: it would add a style and evaluate texts.
const HTMX: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"historyCacheSize":0}"#;

/// Where the later part of a page belongs. Markup escapes `<`, so no text of anybody's has it.
const LATER: &str = "<!--later-->";

/// The pages of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// What there is, and what is wrong.
    Overview,
    /// Streams, groups, consumers.
    Streams,
    /// One event.
    Find,
    /// What could not be delivered or handled.
    DeadLetters,
    /// Pauses, replays.
    Actions,
    /// What `outflow check` finds.
    Check,
    /// Who did what.
    Audit,
    /// None of them.
    None,
}

impl Section {
    const ALL: [Self; 7] = [
        Self::Overview,
        Self::Streams,
        Self::Find,
        Self::DeadLetters,
        Self::Actions,
        Self::Check,
        Self::Audit,
    ];

    /// Its name.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Streams => "Streams",
            Self::Find => "Find",
            Self::DeadLetters => "Dead letters",
            Self::Actions => "Actions",
            Self::Check => "Check",
            Self::Audit => "Audit",
            Self::None => "",
        }
    }

    /// Its address.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Overview | Self::None => "/",
            Self::Streams => "/streams",
            Self::Find => "/find",
            Self::DeadLetters => "/dead-letters",
            Self::Actions => "/actions",
            Self::Check => "/check",
            Self::Audit => "/audit",
        }
    }
}

/// A page, for whoever looks at it. `body` begins with the heading (`h1`).
pub(super) fn page(viewer: &Viewer, title: &str, section: Section, body: &Markup) -> Response {
    answer(document(title, &frame(viewer, section, body)))
}

/// The same for what takes long to find out: the browser gets `body` at once, and `later` below it
/// when it is known. Who leaves meanwhile drops it.
pub(super) fn page_in_parts(
    viewer: &Viewer,
    title: &str,
    section: Section,
    body: &Markup,
    later: impl Future<Output = Markup> + Send + 'static,
) -> Response {
    let body = html! { (body) p.busy role="status" { "Searching…" } (PreEscaped(LATER)) };
    let whole = document(title, &frame(viewer, section, &body));
    let (first, last) = whole.split_once(LATER).unwrap_or((&whole, ""));
    let (first, last) = (first.to_owned(), last.to_owned());
    let rest = async move { later.await.into_string() + &last };
    let parts = stream::once(async { first }).chain(stream::once(rest));
    answer(Body::from_stream(parts.map(Ok::<_, Infallible>)))
}

fn frame(viewer: &Viewer, section: Section, body: &Markup) -> Markup {
    html! {
        a.skip href="#content" { "Skip to the content" }
        header.top {
            a.brand href="/" { img src=(ASSETS.icon.href) alt="" width="20" height="20"; "Outflow" }
            nav aria-label="Pages" {
                ul {
                    @for one in Section::ALL {
                        li {
                            a href=(one.path()) aria-current=[(one == section).then_some("page")] {
                                (one.title())
                            }
                        }
                    }
                }
            }
            (who(viewer))
        }
        main #content tabindex="-1" {
            @if let Some(said) = &viewer.said {
                p.notice.(if said.is_done { "good" } else { "bad" })
                    role=(if said.is_done { "status" } else { "alert" }) { (said.text) }
            }
            (body)
        }
    }
}

/// A page for who is not known yet.
pub(super) fn bare(title: &str, body: &Markup) -> Response {
    let frame = html! {
        main.bare #content {
            p.brand { img src=(ASSETS.icon.href) alt="" width="20" height="20"; "Outflow" }
            (body)
        }
    };
    answer(document(title, &frame))
}

fn who(viewer: &Viewer) -> Markup {
    html! {
        div.who {
            span { (shown(&viewer.name)) " " span.role { (viewer.role.as_str()) } }
            @if matches!(viewer.by, By::Session(_)) {
                form method="post" action=(LOG_OUT) {
                    (form::csrf(viewer))
                    button.quiet type="submit" { "Log out" }
                }
            }
        }
    }
}

fn document(title: &str, frame: &Markup) -> String {
    let assets = &*ASSETS;
    let scripts = [&assets.htmx, &assets.morph, &assets.plot, &assets.script];
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                meta name="htmx-config" content=(HTMX);
                title { (title) " · Outflow" }
                link rel="icon" type="image/svg+xml" href=(assets.icon.href);
                link rel="stylesheet" href=(assets.plot_style.href);
                link rel="stylesheet" href=(assets.style.href);
                @for script in scripts {
                    script src=(script.href) defer {}
                }
            }
            body { (frame) }
        }
    };
    page.into_string()
}

fn answer(page: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page.into()).into_response()
}
