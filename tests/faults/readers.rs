//! Consumer groups that read what the relay trims: a quick one, a slow one, and one that comes
//! late. The checker reads what each of them has handled, because the entries are gone by then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use outflow_connect::redis::{Args, Failure, Redis, Reply};
use outflow_local::{eventually, redis_client};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::checker::Entry;
use super::stage::{LIMIT, Stage};
use super::writers::KINDS;

/// Each waits for a stream's entries, also before it exists (`trim.groups`).
pub(crate) const GROUPS: [&str; 3] = ["quick", "slow", "late"];
const LATE: usize = 2;
/// Entries a second that the slow group handles, and fewer than are written.
const SLOW: u32 = 800;
/// Entries of one read.
const COUNT: &str = "100";
/// How long the next consumer waits at most before it takes over what a dead one had read, in ms.
const IDLE_MS: u64 = 4_000;
/// How long a consumer that is to die waits for entries to die with.
const DEATH_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The groups at work. They end when this is dropped.
pub(crate) struct Readers {
    groups: Vec<Arc<Group>>,
    /// Held while the late group is away.
    away: tokio::sync::Mutex<()>,
    _tasks: JoinSet<()>,
}

/// What a group has handled, by stream and by the entry's id.
pub(crate) type Handled = BTreeMap<String, BTreeMap<(u64, u64), Entry>>;

struct Group {
    name: &'static str,
    url: String,
    is_slow: bool,
    /// Whether it exists.
    is_there: AtomicBool,
    /// The slow one is as quick as the others.
    hurries: AtomicBool,
    /// Its consumer dies with the next entries that it reads.
    dies: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    handled: Handled,
    deaths: u32,
    /// Looks in a row that found nothing: neither new entries nor pending ones.
    empty: u32,
    complaints: Vec<String>,
}

impl Readers {
    /// Creates the groups but the late one, from the first entry on.
    pub(crate) async fn start(stage: &Stage, url: &str, seed: u64) -> Self {
        let (mut groups, mut tasks) = (Vec::new(), JoinSet::new());
        let mut rng = Rng::with_seed(seed);
        for (at, name) in GROUPS.into_iter().enumerate() {
            let group = Arc::new(Group {
                name,
                url: url.to_owned(),
                is_slow: name == "slow",
                is_there: AtomicBool::default(),
                hurries: AtomicBool::default(),
                dies: AtomicBool::default(),
                state: Mutex::default(),
            });
            if at != LATE {
                group.come(stage).await;
            }
            tasks.spawn(read(Arc::clone(&group), rng.fork()));
            groups.push(group);
        }
        Self { groups, away: tokio::sync::Mutex::default(), _tasks: tasks }
    }

    /// The late group is created, from the first entry on that is there.
    pub(crate) async fn late_comes(&self, stage: &Stage) {
        self.groups[LATE].come(stage).await;
    }

    /// The late group is destroyed, and comes again.
    pub(crate) async fn late_goes(&self, stage: &Stage, length: Duration) -> String {
        let _alone = self.away.lock().await;
        let group = &self.groups[LATE];
        group.is_there.store(false, Ordering::Relaxed);
        for stream in streams() {
            // Under another name at the moment, a stream keeps its group.
            let _ = stage.command("XGROUP", &["DESTROY", &stream, group.name]).await;
        }
        sleep(length).await;
        group.come(stage).await;
        format!("{} for {length:?}", group.name)
    }

    /// A consumer dies with entries that it has read and not acknowledged.
    pub(crate) async fn kill(&self, rng: &mut Rng) -> String {
        let group = &self.groups[rng.usize(0..self.groups.len())];
        let before = group.state.lock().deaths;
        group.dies.store(true, Ordering::Relaxed);
        let died = eventually(DEATH_LIMIT, "", async || group.state.lock().deaths > before);
        if died.await.is_ok() {
            return format!("a consumer of {}", group.name);
        }
        group.dies.store(false, Ordering::Relaxed);
        format!("no consumer of {}: it had nothing to read", group.name)
    }

    /// Whether the slow group reads as fast as it can.
    pub(crate) fn hurry(&self, hurries: bool) {
        self.groups.iter().for_each(|group| group.hurries.store(hurries, Ordering::Relaxed));
    }

    /// Waits until each group has handled what is there. Nobody appends any more. Returns what is
    /// wrong.
    pub(crate) async fn finish(&self) -> Vec<String> {
        self.hurry(true);
        let mut complaints = Vec::new();
        for group in &self.groups {
            group.state.lock().empty = 0;
            let what = format!("{} to read everything", group.name);
            // Two, because the first may have begun before.
            let done = eventually(LIMIT, &what, async || group.state.lock().empty > 1).await;
            complaints.extend(done.err().map(|error| error.to_string()));
            complaints.append(&mut group.state.lock().complaints);
        }
        complaints
    }

    /// What each group has handled, by its name.
    pub(crate) fn handled(&self) -> Vec<(&'static str, Handled)> {
        self.groups.iter().map(|group| (group.name, group.state.lock().handled.clone())).collect()
    }

    /// How many consumers have died.
    pub(crate) fn deaths(&self) -> u32 {
        self.groups.iter().map(|group| group.state.lock().deaths).sum()
    }
}

/// The streams that the writers' events go to.
pub(crate) fn streams() -> impl Iterator<Item = String> {
    KINDS.iter().map(|kind| format!("events.{kind}"))
}

impl Group {
    /// It is created in each stream, however often a fault prevents it.
    async fn come(&self, stage: &Stage) {
        for stream in streams() {
            let args = ["CREATE", &stream, self.name, "0", "MKSTREAM"];
            let what = format!("{} to exist", self.name);
            let created = eventually(LIMIT, &what, async || {
                let created = stage.command("XGROUP", &args).await;
                created.is_ok() || created.is_err_and(|error| error.contains("BUSYGROUP"))
            });
            created.await.expect("a group");
        }
        self.is_there.store(true, Ordering::Relaxed);
    }

    /// Reads from each stream once. How many entries; `None` if the consumer has died.
    async fn pass(&self, redis: &Redis, consumer: &str) -> Result<Option<u32>, Failure> {
        let mut count = 0;
        for stream in streams() {
            let args = ["GROUP", self.name, consumer, "COUNT", COUNT, "STREAMS", &stream, ">"];
            let reply = redis.call("XREADGROUP", Args::from(args)).await?;
            let Some(entries) = reply.items().first().map(|stream| stream.items()[1].items())
            else {
                continue;
            };
            if self.dies.swap(false, Ordering::Relaxed) {
                self.state.lock().deaths += 1;
                return Ok(None);
            }
            count += u32::try_from(entries.len()).expect("few");
            self.handle(redis, &stream, entries).await?;
        }
        Ok(Some(count))
    }

    /// A look at all streams has ended.
    fn passed(&self, is_empty: bool) {
        let mut state = self.state.lock();
        state.empty = if is_empty { state.empty + 1 } else { 0 };
    }

    /// Takes over what consumers have left that are dead, or that missed an answer.
    async fn take_over(&self, redis: &Redis, consumer: &str) -> Result<(), Failure> {
        for stream in streams() {
            loop {
                let args = [&stream, self.name, consumer, "0", "0", "COUNT", COUNT];
                let reply = redis.call("XAUTOCLAIM", Args::from(args)).await?;
                let [_next, entries, deleted] = reply.items() else { panic!("{reply:?}") };
                if let Some(first) = deleted.items().first().and_then(Reply::string) {
                    self.state.lock().complaints.push(format!(
                        "{}: {} pending entries of {stream} are gone, such as {first}",
                        self.name,
                        deleted.items().len()
                    ));
                }
                if entries.items().is_empty() && deleted.items().is_empty() {
                    break;
                }
                self.handle(redis, &stream, entries.items()).await?;
            }
        }
        Ok(())
    }

    /// Remembers them before it acknowledges them: an entry that is read again is the same one.
    async fn handle(&self, redis: &Redis, stream: &str, entries: &[Reply]) -> Result<(), Failure> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut args = Args::from([stream, self.name]);
        for entry in entries {
            let (id, entry) = Entry::parse(entry);
            args.text(id.as_str());
            let (ms, seq) = id.split_once('-').expect("an id");
            let id = (ms.parse().expect("a number"), seq.parse().expect("a number"));
            let mut state = self.state.lock();
            state.handled.entry(stream.to_owned()).or_default().insert(id, entry);
        }
        redis.call("XACK", args).await.map(drop)
    }
}

/// One consumer after the other, each with a connection of its own.
async fn read(group: Arc<Group>, mut rng: Rng) {
    for number in 1.. {
        let redis = redis_client(&group.url, "a consumer");
        let idle = if number == 1 { 0 } else { rng.u64(0..IDLE_MS) };
        consume(&group, &redis, &number.to_string(), Duration::from_millis(idle)).await;
        redis.close().await;
    }
}

/// Until it dies.
async fn consume(group: &Group, redis: &Redis, consumer: &str, idle: Duration) {
    let mut takes_over = Some(Instant::now() + idle);
    loop {
        if !group.is_there.load(Ordering::Relaxed) || redis.ready(CONNECT_LIMIT).await.is_err() {
            sleep(Duration::from_millis(20)).await;
            continue;
        }
        let hurries = group.hurries.load(Ordering::Relaxed);
        let is_due = takes_over.is_some_and(|at| hurries || at <= Instant::now());
        let passed = async {
            if is_due {
                group.take_over(redis, consumer).await?;
            }
            group.pass(redis, consumer).await
        };
        match passed.await {
            Ok(None) => return,
            Ok(Some(count)) => {
                takes_over = takes_over.filter(|_| !is_due);
                group.passed(count == 0 && takes_over.is_none());
                if group.is_slow && !hurries {
                    sleep(Duration::from_secs(1) * count / SLOW).await;
                } else if count == 0 {
                    sleep(Duration::from_millis(20)).await;
                }
            }
            // Redis may have noted what never came here.
            Err(_) => {
                takes_over = Some(Instant::now());
                group.passed(false);
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
