//! A writer that never holds up the program: lines go into a bounded buffer, and a thread of its
//! own writes them.
//!
//! If nobody reads the other end of a pipe, the buffer fills and further lines are dropped and
//! counted. If the other end is closed, or the disk is full, the lines that could not be written
//! are counted, and the next ones are tried again.
//!
//! Not `tracing_appender::non_blocking`: when its buffer is full at exit, it reports that with
//! `println!`, which blocks for ever on the same full pipe and panics on a closed one. It also
//! counts lines rather than bytes, and no failed writes.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait to be written, at most: some thousand lines.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// Cloning shares the buffer.
#[derive(Debug, Clone)]
pub(super) struct LossyWriter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    /// Something is in the buffer, or the last writer is gone.
    filled: Condvar,
    /// Everything is written.
    written: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// The thread is writing what it took.
    is_busy: bool,
}

impl LossyWriter {
    /// Starts the thread, which lives as long as the program. `flows_again` is called with the
    /// number of lines dropped so far, from that thread, after a write that succeeded again.
    pub(super) fn start<F>(target: impl Write + Send + 'static, flows_again: F) -> io::Result<Self>
    where
        F: Fn(u64) + Send + 'static,
    {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || of_thread.run(target, flows_again))?;
        Ok(Self(shared))
    }

    /// Lines that were not written.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, for at most `limit`: a reader that has stopped must not
    /// hold up the exit.
    pub(super) fn flush_within(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut buffer = self.0.buffer();
        while buffer.is_busy || !buffer.bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.0.written.wait_for(&mut buffer, left);
        }
    }
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock()
    }

    fn run(&self, mut target: impl Write, flows_again: impl Fn(u64)) {
        let mut told = 0;
        let mut lines = Vec::new();
        loop {
            lines.clear();
            let mut buffer = self.buffer();
            buffer.is_busy = false;
            while buffer.bytes.is_empty() {
                self.written.notify_all();
                self.filled.wait(&mut buffer);
            }
            std::mem::swap(&mut buffer.bytes, &mut lines);
            buffer.is_busy = true;
            drop(buffer);
            let failed = write(&mut target, &lines);
            self.dropped.fetch_add(failed, Ordering::Relaxed);
            let dropped = self.dropped.load(Ordering::Relaxed);
            if failed == 0 && dropped > told {
                flows_again(dropped - told);
                told = dropped;
            }
        }
    }
}

/// Writes lines. Returns how many of them were not written, or not to their end.
fn write(target: &mut impl Write, lines: &[u8]) -> u64 {
    let mut rest = lines;
    while !rest.is_empty() {
        match target.write(rest) {
            Ok(0) => break,
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_gone) => break,
        }
    }
    rest.split(|byte| *byte == b'\n').count() as u64 - 1
}

impl Write for LossyWriter {
    /// Takes the whole line or drops it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut buffer = self.0.buffer();
        if buffer.bytes.len() + line.len() <= BUFFER_BYTES_MAX {
            buffer.bytes.extend_from_slice(line);
            self.0.filled.notify_one();
        } else {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LossyWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// A pipe whose reader takes what is sent, when it likes.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn pipe() -> (LossyWriter, Receiver<Vec<u8>>, Receiver<u64>) {
        let (writer, reader) = sync_channel(0);
        let (tell, told) = sync_channel(10);
        let writer =
            LossyWriter::start(Pipe(writer), move |count| tell.send(count).expect("a test"))
                .expect("a thread");
        (writer, reader, told)
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_is_told_how_many() {
        let (mut writer, reader, told) = pipe();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let count = 3 * (BUFFER_BYTES_MAX / line.len()) as u64;
        for _ in 0..count {
            writer.write_all(&line).expect("never fails");
        }
        let dropped = writer.dropped();
        assert!(dropped > 0 && dropped < count, "{dropped} of {count}");
        writer.flush_within(Duration::from_millis(1));
        let mut read = 0;
        while read < count - dropped {
            let bytes = reader.recv_timeout(LIMIT).expect("lines");
            read += (bytes.len() / line.len()) as u64;
        }
        assert_eq!(told.recv_timeout(LIMIT), Ok(dropped));
        writer.flush_within(LIMIT);
        assert_eq!(
            (read, writer.dropped()),
            (count - dropped, dropped),
            "every line was read or counted"
        );
    }

    #[test]
    fn a_reader_that_is_gone_costs_lines_only() {
        let (mut writer, reader, _told) = pipe();
        drop(reader);
        for _ in 0..100 {
            writer.write_all(b"a line\n").expect("never fails");
        }
        writer.flush_within(LIMIT);
        assert_eq!(writer.dropped(), 100);
    }
}
