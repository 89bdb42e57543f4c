//! Check: the findings of `outflow check`, with their remedies to copy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use crate::console::access::Viewer;
use crate::console::layout::{self, Section};
use crate::console::parts;
use crate::console::state::{Checked, Console};
use crate::operate::check::{self, Finding, Findings, Level, Remedy};

/// Several looks at two servers, each of which may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long what was found is shown again. A check tries a claim out, for which the relays wait:
/// who reloads the page must not be able to hold them up.
const FRESH: Duration = Duration::from_mins(1);

pub(super) fn routes() -> Router<Console> {
    Router::new().route(Section::Check.path(), get(show))
}

async fn show(State(console): State<Console>, viewer: Viewer) -> Response {
    let config = console.config_of_relay();
    let findings = tokio::time::timeout(PATIENCE, async {
        let mut last = console.checking().await;
        let is_fresh =
            |last: &Checked| last.at.elapsed() < FRESH && Arc::ptr_eq(&last.config, &config);
        if let Some(last) = last.as_ref().filter(|last| is_fresh(last)) {
            return Arc::clone(&last.findings);
        }
        let mut findings = Findings::of_configuration(&config);
        check::servers(&config, &mut findings).await;
        let findings = Arc::new(findings);
        let (at, config) = (Instant::now(), Arc::clone(&config));
        *last = Some(Checked { at, config, findings: Arc::clone(&findings) });
        findings
    });
    let body = match findings.await {
        Ok(findings) => page(findings.list()),
        Err(_elapsed) => html! {
            h1 { "Check" }
            (parts::problem(
                "The check has not ended",
                &format!("no end within {} s", PATIENCE.as_secs()),
                "A server is slow or silent: see the overview, and reload this page.",
            ))
        },
    };
    layout::page(&viewer, "Check", Section::Check, &body)
}

fn page(findings: &[Finding]) -> Markup {
    let of = |level: Level| findings.iter().filter(move |finding| finding.level == level);
    let to_do = [Level::Error, Level::Unreachable, Level::Warning];
    let wrong: Vec<&Finding> = to_do.into_iter().flat_map(of).collect();
    let fine: Vec<&Finding> = of(Level::Ok).collect();
    html! {
        h1 { "Check" }
        p.hint {
            "As " code { "outflow check" } " finds them, at most a minute ago."
        }
        @if wrong.is_empty() {
            p.notice.good { "Nothing needs to be done." }
        } @else {
            h2 { "To do (" (wrong.len()) ")" }
            ul.findings { @for finding in wrong { (one(finding)) } }
        }
        h2 { "As it should be (" (fine.len()) ")" }
        ul.findings { @for finding in fine { (one(finding)) } }
    }
}

fn one(finding: &Finding) -> Markup {
    let class = match finding.level {
        Level::Ok => "good",
        Level::Warning => "warning",
        Level::Error | Level::Unreachable => "bad",
    };
    html! {
        li.(class) {
            p {
                span.level { (finding.level.to_string()) } " "
                strong { (parts::shown(&finding.about)) } ": " (parts::shown(&finding.what))
            }
            @if let Some(remedy) = &finding.remedy { (mend(remedy)) }
        }
    }
}

fn mend(remedy: &Remedy) -> Markup {
    html! {
        @match remedy {
            Remedy::Sql(statement) => {
                p.remedy { "Run in psql: " (parts::copied(statement)) }
            }
            Remedy::Redis { line, lasting } => {
                p.remedy { "Run in redis-cli: " (parts::copied(line)) }
                p.remedy { "To keep it over a restart: " (parts::copied(lasting)) }
            }
            Remedy::Advice(advice) => { p.remedy { (parts::shown(advice)) } }
        }
    }
}
