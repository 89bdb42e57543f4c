//! The addresses of the pages that show and act on streams, dead letters, pauses and jobs.

use super::link::link;

/// All streams.
pub(super) const STREAMS: &str = "/streams";
/// One stream.
pub(super) const STREAM: &str = "/streams/show";
/// One entry of a stream.
pub(super) const ENTRY: &str = "/streams/entry";
/// One group of a stream.
pub(super) const GROUP: &str = "/streams/group";

/// The dead letters of the relay that a filter selects.
pub(super) const LETTERS: &str = "/dead-letters/letters";
/// One of them.
pub(super) const LETTER: &str = "/dead-letters/letter";
/// Retries those of a filter.
pub(super) const RETRY: &str = "/dead-letters/retry";
/// Discards those of a filter.
pub(super) const DISCARD: &str = "/dead-letters/discard";
/// The dead letters of a stream's consumers, grouped.
pub(super) const OF_STREAM: &str = "/dead-letters/stream";
/// Those of a selection.
pub(super) const STREAM_LETTERS: &str = "/dead-letters/stream/letters";
/// Retries those of a selection.
pub(super) const STREAM_RETRY: &str = "/dead-letters/stream/retry";
/// Discards those of a selection.
pub(super) const STREAM_DISCARD: &str = "/dead-letters/stream/discard";

/// Pauses an outbox, or one stream of it.
pub(super) const PAUSE: &str = "/actions/pause";
/// Resumes it.
pub(super) const RESUME: &str = "/actions/resume";
/// Tries a parked stream.
pub(super) const RETRY_PARKED: &str = "/actions/retry";
/// Sends events of a kept outbox once more.
pub(super) const REPLAY: &str = "/actions/replay";
/// Drops a consumer group.
pub(super) const DROP_GROUP: &str = "/actions/drop-group";

/// One job.
pub(super) const JOB: &str = "/jobs/show";
/// Stops it.
pub(super) const STOP: &str = "/jobs/stop";

/// The page of a stream.
pub(super) fn stream(name: &str) -> String {
    link(STREAM, &[("name", name)])
}

/// The page of an entry.
pub(super) fn entry(stream: &str, id: &str) -> String {
    link(ENTRY, &[("name", stream), ("id", id)])
}

/// The page of a consumer group.
pub(super) fn group(stream: &str, group: &str) -> String {
    link(GROUP, &[("name", stream), ("group", group)])
}

/// The page that asks whether to drop it.
pub(super) fn drop_group(stream: &str, group: &str) -> String {
    link(DROP_GROUP, &[("name", stream), ("group", group)])
}

/// The dead letters of a stream's consumers.
pub(super) fn dead_of(stream: &str) -> String {
    link(OF_STREAM, &[("name", stream)])
}

/// A page that acts on an outbox, or on one stream of it.
pub(super) fn of_outbox(path: &str, outbox: &str, stream: Option<&str>) -> String {
    link(path, &[("outbox", outbox), ("stream", stream.unwrap_or_default())])
}

/// The page of a job.
pub(super) fn job(id: &str) -> String {
    link(JOB, &[("id", id)])
}
