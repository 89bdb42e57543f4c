//! A reader that is blocked in XREAD and remembers when each event arrived. Plain sockets: nothing
//! stands between the answer of Redis and the look at the clock.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Outcome;
use super::writer::number_of;

/// Longer than any event may take.
const SILENCE_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Reader {
    connection: BufReader<TcpStream>,
    stream: String,
}

/// A reply of Redis, as far as XREAD has it.
enum Reply {
    Nil,
    Text(Vec<u8>),
    List(Vec<Reply>),
}

impl Reader {
    pub(crate) fn connect(port: u16, stream: &str) -> Outcome<Self> {
        let connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(SILENCE_MAX))?;
        Ok(Self {
            connection: BufReader::with_capacity(256 * 1024, connection),
            stream: stream.to_owned(),
        })
    }

    /// Reads from the beginning of the stream until so many events have arrived, each once; when
    /// each did, by number.
    pub(crate) fn read(mut self, events: usize) -> Outcome<Vec<Option<Instant>>> {
        let mut arrived = vec![None; events];
        let (mut count, mut last) = (0, "0".to_owned());
        while count < events {
            let command = ["XREAD", "BLOCK", "0", "STREAMS", &self.stream, &last];
            let mut request = format!("*{}\r\n", command.len());
            for word in command {
                // Writing to memory cannot fail.
                let _ = write!(request, "${}\r\n{word}\r\n", word.len());
            }
            self.connection.get_mut().write_all(request.as_bytes())?;
            let _first_bytes = self.connection.fill_buf()?;
            let at = Instant::now();
            let reply = self.reply()?;
            for entry in entries(&reply) {
                let (id, number) = entry.ok_or("an entry of an unexpected form")?;
                last = id;
                let slot =
                    arrived.get_mut(number_of(&number)?).ok_or("an event that nobody wrote")?;
                if slot.replace(at).is_some() {
                    return Err(format!("event {number} arrived twice").into());
                }
                count += 1;
            }
        }
        Ok(arrived)
    }

    fn reply(&mut self) -> Outcome<Reply> {
        let mut line = String::new();
        self.connection.read_line(&mut line)?;
        let (kind, rest) =
            line.trim_end().split_at_checked(1).ok_or("Redis has closed the connection")?;
        match (kind, rest.parse::<i64>()) {
            ("$" | "*", Ok(-1)) => Ok(Reply::Nil),
            ("$", Ok(length)) => {
                let mut bytes = vec![0; usize::try_from(length)? + 2];
                self.connection.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Ok(Reply::Text(bytes))
            }
            ("*", Ok(length)) => {
                Ok(Reply::List((0..length).map(|_| self.reply()).collect::<Outcome<_>>()?))
            }
            _ => Err(format!("Redis answered {line:?}").into()),
        }
    }
}

/// Entry id and event id of each entry of the one stream.
fn entries(reply: &Reply) -> impl Iterator<Item = Option<(String, String)>> {
    let stream = reply.items().first().and_then(|stream| stream.items().get(1));
    stream.map_or(&[][..], Reply::items).iter().map(|entry| {
        let [id, fields] = entry.items() else { return None };
        // The format `fields` begins with `id`.
        Some((id.text()?, fields.items().get(1)?.text()?))
    })
}

impl Reply {
    fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Nil | Self::Text(_) => &[],
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Text(bytes) => String::from_utf8(bytes.clone()).ok(),
            Self::Nil | Self::List(_) => None,
        }
    }
}
