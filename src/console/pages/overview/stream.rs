//! Keeps an overview up to date while somebody looks: server-sent events, each the changed content.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;

use super::content;
use crate::console::access::Viewer;
use crate::console::places::Place;
use crate::console::state::Console;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The browser then asks anew, and a proxy says again who it is.
const AGE_MAX: Duration = Duration::from_mins(10);

/// Somebody who looks.
struct Watch {
    console: Console,
    viewer: Viewer,
    /// What they see.
    sent: String,
    has_ended: bool,
    since: Instant,
    /// Given back when the browser has left: the stream of events is dropped then.
    _place: Place,
}

pub(super) async fn live(State(console): State<Console>, viewer: Viewer) -> Response {
    let Some(place) = console.watching(&viewer) else {
        let text = "Too many pages are kept up to date already; reload this one instead.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let (sent, since) = (String::new(), Instant::now());
    let watch = Watch { console, viewer, sent, has_ended: false, since, _place: place };
    let events = unfold(watch, Watch::next);
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

impl Watch {
    /// Waits until what they see has changed. A session that has ended is said, once.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.has_ended {
            return None;
        }
        while self.since.elapsed() < AGE_MAX {
            let config = self.console.config();
            if !self.console.access().still(&config.console, &self.viewer) {
                self.has_ended = true;
                return Some((Ok(Event::default().event("ended").data("")), self));
            }
            let seen = self.console.now().await;
            let now = content::of(&self.console, &self.viewer, seen.as_deref())
                .into_string()
                .replace('\r', " ");
            if now != self.sent {
                let event = Event::default().event("content").data(&now);
                self.sent = now;
                return Some((Ok(event), self));
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }
}
