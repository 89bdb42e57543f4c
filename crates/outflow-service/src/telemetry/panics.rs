//! Panics as log lines. The standard hook writes to stderr itself, which may block for ever on a
//! full pipe.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

/// From here on, a panic is an error in the log.
pub(super) fn log() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(String::new, |at| format!("{}:{}", shortened(at.file()), at.line()));
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or_default();
        // Only with RUST_BACKTRACE, as in the standard hook.
        let backtrace = Backtrace::capture();
        let backtrace =
            (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(place, thread, backtrace, "panic: {}", message(panic));
    }));
}

fn message<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = panic.payload();
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "of an unknown kind",
    }
}

/// Without the directories of the machine that built it: `tokio-1.54.0/src/lib.rs`, `src/relay.rs`.
fn shortened(file: &str) -> &str {
    let Some((_, crates)) = file.split_once("/registry/src/") else { return file };
    crates.split_once('/').map_or(crates, |(_index, file)| file)
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn no_path_of_the_build_machine_is_shown() {
        let table = [
            ("src/relay.rs", "src/relay.rs"),
            (
                "/home/me/.cargo/registry/src/index.crates.io-1949/tokio-1.54.0/src/lib.rs",
                "tokio-1.54.0/src/lib.rs",
            ),
        ];
        for (file, expected) in table {
            assert_eq!(shortened(file), expected);
        }
    }
}
