//! Logs: to stderr, text on a terminal and JSON otherwise. A log that cannot be written holds up
//! nothing.

mod dropped;
mod panics;
mod writer;

use std::fmt::{Debug, Display};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use serde::{Deserialize, Serialize};
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use outflow_core::escape::{self, WHOLE, printable};
use writer::LossyWriter;

/// How long the end of a program waits for its last lines to be written.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise
    #[default]
    Auto,
    /// Text
    Text,
    /// One JSON object per line
    Json,
}

/// Starts logging, panics included. `level` is a level (`info`) or a filter (`info,outflow=debug`).
///
/// # Errors
/// When `level` is neither; the message says what is expected.
pub fn start(level: &str, format: LogFormat) -> Result<Log, String> {
    let filter = filter(level)?;
    let terminal = io::stderr().is_terminal();
    let writer = LossyWriter::start(io::stderr(), |lines| {
        tracing::warn!(
            lines,
            "dropped log lines: stderr could not be written, or its reader was too slow"
        );
    });
    let writer = writer.map_err(|error| format!("no thread for the log: {error}"))?;
    let lines = tracing_subscriber::fmt().with_writer(writer.clone()).with_target(false);
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    // A second start (two tests in one process) keeps the first.
    let log = if json {
        let lines = lines
            .with_writer(EscapedJson(writer.clone()))
            .json()
            .flatten_event(true)
            .with_env_filter(filter)
            .with_filter_reloading();
        let handle = lines.reload_handle();
        let _ = lines.try_init();
        Log::new(writer, move |filter| handle.reload(filter))
    } else {
        let lines = lines.fmt_fields(debug_fn(field).delimited(" "));
        let lines = lines.with_ansi(terminal).with_env_filter(filter).with_filter_reloading();
        let handle = lines.reload_handle();
        let _ = lines.try_init();
        Log::new(writer, move |filter| handle.reload(filter))
    };
    panics::log();
    Ok(log)
}

/// One field of a line for people. Values quote what others wrote (keys, errors of servers): a line
/// stays one line, and does nothing to the terminal.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let value = printable(&format!("{value:?}"), WHOLE);
    match field.name() {
        "message" => writer.write_str(&value),
        name => write!(writer, "{name}={value}"),
    }
}

/// Lines of JSON on their way to the log: what others wrote means the same, and does nothing to the
/// terminal of whoever reads them as they are (JSON's own escapes leave C1 controls and marks that
/// turn the direction of writing).
struct EscapedJson(LossyWriter);

impl<'a> MakeWriter<'a> for EscapedJson {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self(self.0.clone())
    }
}

impl Write for EscapedJson {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.is_ascii() {
            return self.0.write(line);
        }
        let text = String::from_utf8_lossy(line);
        let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
        self.0.write_all(format!("{}{end}", escape::json(text)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The running log. Cloning shares it; the last one to be dropped waits a moment for the last lines
/// to be written.
#[derive(Clone)]
pub struct Log(Arc<Running>);

struct Running {
    writer: LossyWriter,
    reload: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
}

impl Log {
    fn new(
        writer: LossyWriter,
        reload: impl Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let reload = Box::new(move |filter| reload(filter).map_err(|error| error.to_string()));
        Self(Arc::new(Running { writer, reload }))
    }

    /// Changes the level or the filter of the running log.
    ///
    /// # Errors
    /// When it is neither; the message says what is expected.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        (self.0.reload)(filter(level)?)
    }

    /// Writes a program's last line, after the lines that were logged before it. Escapes characters
    /// that act on a terminal.
    pub fn say(&self, text: impl Display) {
        // Never fails: what cannot be written is dropped.
        let _ = self
            .0
            .writer
            .clone()
            .write_all(format!("{}\n", escape::lines(&text.to_string())).as_bytes());
    }

    /// Waits a moment until the lines so far are written, for exits that skip destructors.
    pub fn flush(&self) {
        self.0.writer.flush_within(FLUSH_LIMIT);
    }

    /// Registers a counter of the lines that were dropped.
    ///
    /// # Errors
    /// If another series has that name.
    pub fn count_dropped(&self, name: &str, registry: &Registry) -> prometheus::Result<()> {
        dropped::register(self.0.writer.clone(), name, registry)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.writer.flush_within(FLUSH_LIMIT);
    }
}

/// Whether a text is a level or a filter.
///
/// # Errors
/// What was found and what is expected.
pub fn check_level(level: &str) -> Result<(), String> {
    filter(level).map(drop)
}

/// Below the level that was asked for: fred repeats every reconnect in Rust's words for
/// programmers, tokio-postgres prints notices and parameters, which are customers' data. What goes
/// wrong on their connections is told by our own lines, once an incident. A filter that names them
/// has its way.
const QUIET: &str =
    "fred=off,tokio_postgres=warn,deadpool=warn,hyper=warn,hyper_util=warn,rustls=warn";

fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("{QUIET},{level}")).map_err(|_| {
        format!("found {level:?}, expected error, warn, info, debug, trace, or a filter of them")
    })
}
