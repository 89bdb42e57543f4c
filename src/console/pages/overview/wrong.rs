//! What is wrong, the gravest first, each in words and with what mends it.

use maud::{Markup, html};

use crate::console::access::Viewer;
use crate::console::layout::Section;
use crate::console::parts;
use crate::observe::metrics::StreamNote;
use crate::operate::status::{OutboxStatus, Status, is_said_apart};

/// How grave it is; the gravest is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Nothing is delivered.
    Bad,
    /// Something waits, or was given up.
    Warning,
    /// Somebody wanted it so.
    Note,
}

/// One thing.
struct Wrong {
    weight: Weight,
    /// The outbox or the server.
    about: String,
    what: String,
    mend: Option<Mend>,
}

/// A link to the page that mends it; that one asks first.
struct Mend {
    label: &'static str,
    href: String,
    /// Whether only who may act can use it.
    acts: bool,
}

pub(super) fn list(viewer: &Viewer, status: &Status) -> Markup {
    let mut all = servers(status);
    all.extend(status.outboxes.iter().flat_map(of));
    all.sort_by_key(|one| one.weight);
    let heading = match all.first().map(|gravest| gravest.weight) {
        None => "Nothing is wrong",
        Some(Weight::Note) => "Nothing is wrong, but something is paused",
        Some(Weight::Bad | Weight::Warning) => "What is wrong",
    };
    html! {
        section aria-labelledby="wrong" {
            h2 #wrong { (heading) }
            @if all.is_empty() {
                p.notice.good { "Both databases answer, and every outbox delivers." }
            } @else {
                ul.findings { @for one in &all { (item(viewer, one)) } }
            }
        }
    }
}

fn item(viewer: &Viewer, one: &Wrong) -> Markup {
    let (class, level) = match one.weight {
        Weight::Bad => ("bad", "down"),
        Weight::Warning => ("warning", "look"),
        Weight::Note => ("note", "note"),
    };
    let mend = one.mend.as_ref().filter(|mend| !mend.acts || viewer.may_operate());
    html! {
        li.(class) {
            p {
                span.level { (level) } " "
                strong { (parts::shown(&one.about)) } ": " (parts::shown(&one.what))
            }
            @if let Some(mend) = mend { a.button href=(mend.href) { (mend.label) } }
        }
    }
}

fn servers(status: &Status) -> Vec<Wrong> {
    let servers = [("Postgres", &status.postgres_problem), ("Redis", &status.redis_problem)];
    let wrong = |(name, problem): (&str, &Option<String>)| {
        let what = format!("cannot be reached: {}", problem.as_ref()?);
        Some(Wrong { weight: Weight::Bad, about: name.to_owned(), what, mend: None })
    };
    servers.into_iter().filter_map(wrong).collect()
}

fn of(outbox: &OutboxStatus) -> Vec<Wrong> {
    let name = &outbox.name;
    let wrong = |weight, what: String, mend| Wrong { weight, about: name.clone(), what, mend };
    let mut all = Vec::new();
    for paused in &outbox.paused {
        let (pause, waiting) = (&paused.pause, waiting(paused.events));
        let (what, stream) = match &pause.stream {
            None => (format!("paused {pause}"), String::new()),
            Some(stream) => {
                (format!("the stream {stream} is paused{waiting}: {pause}"), stream.clone())
            }
        };
        let mend = mend("Resume…", "/actions/resume", name, &[("stream", &stream)]);
        all.push(wrong(Weight::Note, what, Some(mend)));
    }
    // Pauses and parked streams are said by themselves.
    for cause in outbox.causes.iter().filter(|cause| !is_said_apart(cause)) {
        let check = Mend { label: "Check", href: Section::Check.path().to_owned(), acts: false };
        all.push(wrong(Weight::Bad, cause.clone(), Some(check)));
    }
    for parked in &outbox.parked {
        let (stream, reason) = (&parked.stream.stream, &parked.stream.reason);
        let events = waiting(parked.events);
        let what = format!("the stream {stream} refuses its events{events}: {reason}");
        let mend = mend("Retry now…", "/actions/retry", name, &[("stream", stream)]);
        all.push(wrong(Weight::Warning, what, Some(mend)));
    }
    if outbox.parked_unnamed > 0 {
        let what = format!("{} more streams refuse their events", outbox.parked_unnamed);
        all.push(wrong(Weight::Warning, what, None));
    }
    for dead in &outbox.dead_letters {
        let what = format!(
            "{}, {}, the last at {:.0}",
            parts::count(dead.letters, "dead letter"),
            dead.reason,
            dead.last_died_at
        );
        let query = query(name, &[("reason", &dead.reason)]);
        let href = format!("{}?{query}", Section::DeadLetters.path());
        let mend = Mend { label: "Look at them", href, acts: false };
        all.push(wrong(Weight::Warning, what, Some(mend)));
    }
    let more = outbox.notes.iter().map(StreamNote::told).chain(outbox.retention.iter().cloned());
    all.extend(more.map(|what| wrong(Weight::Warning, what, None)));
    let unknown = outbox.problems.iter().map(|problem| format!("not known: {problem}"));
    all.extend(unknown.map(|what| wrong(Weight::Warning, what, None)));
    all
}

/// How many events wait for a stream.
fn waiting(events: Option<i64>) -> String {
    match events {
        None => String::new(),
        Some(1) => ", 1 event waits".to_owned(),
        Some(events) => format!(", {} wait", parts::count(events, "event")),
    }
}

fn mend(label: &'static str, path: &str, outbox: &str, more: &[(&str, &str)]) -> Mend {
    Mend { label, href: format!("{path}?{}", query(outbox, more)), acts: true }
}

fn query(outbox: &str, more: &[(&str, &str)]) -> String {
    let mut pairs = vec![("outbox", outbox)];
    pairs.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    serde_urlencoded::to_string(pairs).unwrap_or_default()
}
