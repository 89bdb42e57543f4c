//! The rule, on a real Redis: every interleaving of what producers, consumers and operators do, and
//! after each trim nothing is missing that a group had not read and acknowledged.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use outflow::relay::options::{Trim, TrimWhen};
use outflow::relay::sink::upkeep::{Look, SCRIPT, Trimmer};
use outflow_connect::redis::{Args, Redis, Reply, Script};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use secrecy::SecretString;

use crate::support::LIMIT;

const STREAM: &str = "events.order";
const GROUPS: [&str; 3] = ["a", "b", "late"];
/// Small nodes, so that few entries fill many.
const NODE: i64 = 3;

/// What somebody does.
#[derive(Debug, Clone)]
enum Step {
    Add(usize),
    /// A consumer reads so many.
    Read(usize, usize),
    /// The n-th of the pending entries is acknowledged.
    Acknowledge(usize, usize),
    /// Another consumer takes over what is pending.
    Claim(usize),
    /// The n-th entry is deleted, read or not.
    Delete(usize),
    /// Somebody else trims.
    Cut(usize),
    /// From the beginning, or for new entries only.
    Create(usize, bool),
    Destroy(usize),
    /// An operator lets a group read again from the n-th entry.
    Back(usize, usize),
    Trim,
}

fn step() -> impl Strategy<Value = Step> {
    let group = 0..GROUPS.len();
    prop_oneof![
        4 => (1..6_usize).prop_map(Step::Add),
        6 => (group.clone(), 1..8_usize).prop_map(|(group, count)| Step::Read(group, count)),
        8 => (group.clone(), 0..6_usize).prop_map(|(group, n)| Step::Acknowledge(group, n)),
        1 => group.clone().prop_map(Step::Claim),
        2 => (0..20_usize).prop_map(Step::Delete),
        1 => (0..20_usize).prop_map(Step::Cut),
        2 => (group.clone(), any::<bool>()).prop_map(|(group, all)| Step::Create(group, all)),
        1 => group.clone().prop_map(Step::Destroy),
        1 => (group, 0..20_usize).prop_map(|(group, n)| Step::Back(group, n)),
        4 => Just(Step::Trim),
    ]
}

struct Scene {
    redis: Redis,
    /// Of the next entry. Ids of 1, 2 and more digits come soon.
    next: Cell<u64>,
}

/// What a group has not read and acknowledged of what is there, and the group's name.
type Unread = Vec<(String, BTreeSet<String>)>;

impl Scene {
    async fn call(&self, command: &'static str, args: &[&str]) -> Reply {
        // Refusals (a group that exists, a stream that is empty) are a part of it.
        let reply = self.redis.call(command, args.iter().copied().collect::<Args>()).await;
        reply.unwrap_or(Reply::Nil)
    }

    async fn ids(&self) -> Vec<String> {
        let entries = self.call("XRANGE", &[STREAM, "-", "+"]).await;
        entries.items().iter().map(|entry| entry.items()[0].string().expect("an id")).collect()
    }

    async fn pending(&self, group: &str) -> Vec<String> {
        let pending = self.call("XPENDING", &[STREAM, group, "-", "+", "1000"]).await;
        pending.items().iter().map(|one| one.items()[0].string().expect("an id")).collect()
    }

    /// By the commands that tell everything, and not as the script looks.
    async fn unread(&self) -> Unread {
        let (ids, mut unread) = (self.ids().await, Vec::new());
        for group in self.call("XINFO", &["GROUPS", STREAM]).await.items() {
            let field = |name: &str| {
                let mut pairs = group.items().chunks_exact(2);
                pairs.find(|pair| pair[0].string().as_deref() == Some(name)).expect(name)[1].clone()
            };
            let name = field("name").string().expect("a name");
            let last = number(&field("last-delivered-id").string().expect("an id"));
            let pending = self.pending(&name).await;
            let of_group =
                ids.iter().filter(|id| number(id) > last || pending.contains(id)).cloned();
            unread.push((name, of_group.collect()));
        }
        unread
    }

    async fn take(&self, step: &Step) {
        match step {
            Step::Add(count) => {
                for _ in 0..*count {
                    let next = self.next.replace(self.next.get() + 1);
                    let id = format!("{}-{}", 8 + next / 12, next % 12);
                    self.call("XADD", &[STREAM, &id, "f", "v"]).await;
                }
            }
            Step::Read(group, count) => {
                let count = count.to_string();
                let args =
                    ["GROUP", GROUPS[*group], "one", "COUNT", &count, "STREAMS", STREAM, ">"];
                self.call("XREADGROUP", &args).await;
            }
            Step::Acknowledge(group, n) => {
                if let Some(id) = self.pending(GROUPS[*group]).await.get(*n) {
                    self.call("XACK", &[STREAM, GROUPS[*group], id]).await;
                }
            }
            Step::Claim(group) => {
                let args = [STREAM, GROUPS[*group], "two", "0", "0", "COUNT", "3"];
                self.call("XAUTOCLAIM", &args).await;
            }
            Step::Delete(n) => {
                if let Some(id) = self.ids().await.get(*n) {
                    self.call("XDEL", &[STREAM, id]).await;
                }
            }
            Step::Cut(n) => {
                self.call("XTRIM", &[STREAM, "MAXLEN", &n.to_string()]).await;
            }
            Step::Create(group, all) => {
                let from = if *all { "0" } else { "$" };
                self.call("XGROUP", &["CREATE", STREAM, GROUPS[*group], from, "MKSTREAM"]).await;
            }
            Step::Destroy(group) => {
                self.call("XGROUP", &["DESTROY", STREAM, GROUPS[*group]]).await;
            }
            Step::Back(group, n) => {
                if let Some(id) = self.ids().await.get(*n) {
                    self.call("XGROUP", &["SETID", STREAM, GROUPS[*group], id]).await;
                }
            }
            Step::Trim => {}
        }
    }
}

fn number(id: &str) -> (u64, u64) {
    let (ms, seq) = id.split_once('-').expect("an id");
    (ms.parse().expect("a number"), seq.parse().expect("a number"))
}

fn consumed() -> Trim {
    Trim {
        when: TrimWhen::Consumed,
        groups: Vec::new(),
        keep_read: Duration::ZERO,
        keep_read_entries: 0,
        max_len: 0,
        max_age: Duration::ZERO,
        stale_after: Some(Duration::from_hours(1)),
    }
}

/// One interleaving. Returns how many entries were trimmed.
async fn follow(
    scene: &Scene,
    relay: &Trimmer,
    rule: &Trim,
    steps: &[Step],
) -> Result<i64, TestCaseError> {
    scene.call("DEL", &[STREAM]).await;
    scene.next.set(0);
    let mut trimmed = 0;
    let mut deletes = false;
    for (at, step) in steps.iter().enumerate() {
        scene.take(step).await;
        deletes |= matches!(step, Step::Delete(_) | Step::Cut(_) | Step::Back(..));
        if !matches!(step, Step::Trim) {
            continue;
        }
        let (before, unread) = (scene.ids().await, scene.unread().await);
        let look = relay.look(STREAM).await;
        let look = look.map_err(|error| TestCaseError::fail(format!("step {at}: {error}")))?;
        let Some(look) = look else {
            prop_assert!(before.is_empty());
            continue;
        };
        let after: BTreeSet<String> = scene.ids().await.into_iter().collect();
        let gone: BTreeSet<String> =
            before.iter().filter(|id| !after.contains(*id)).cloned().collect();
        prop_assert_eq!(i64::try_from(gone.len()).expect("few"), look.trimmed(), "step {}", at);
        prop_assert_eq!(look.entries, i64::try_from(after.len()).expect("few"), "step {}", at);
        judge(&look, rule, (&gone, &unread), deletes, at)?;
        trimmed += look.trimmed();
    }
    Ok(trimmed)
}

fn judge(
    look: &Look,
    rule: &Trim,
    (gone, unread): (&BTreeSet<String>, &Unread),
    deletes: bool,
    at: usize,
) -> Result<(), TestCaseError> {
    let lost = |of: &BTreeSet<String>| i64::try_from(of.intersection(gone).count()).expect("few");
    // Without a group nobody loses anything, unless one is waited for.
    let waits = rule.when == TrimWhen::Consumed || !rule.groups.is_empty();
    let of_none = if waits { look.trimmed_over } else { 0 };
    let most = unread.iter().map(|(_, of)| lost(of)).max().unwrap_or(of_none);
    let names: BTreeSet<&str> = unread.iter().map(|(name, _)| name.as_str()).collect();
    let missing: Vec<&String> =
        rule.groups.iter().filter(|group| !names.contains(group.as_str())).collect();
    prop_assert_eq!(look.missing.iter().collect::<Vec<_>>(), missing, "step {}", at);
    if names.is_empty() || !look.missing.is_empty() {
        prop_assert_eq!((look.trimmed_read, look.unread_trimmed), (0, of_none));
    } else if look.trimmed_over == 0 {
        prop_assert_eq!(most, 0, "step {}: a group loses {:?} of {:?}", at, gone, unread);
        prop_assert_eq!(look.unread_trimmed, 0);
    } else {
        prop_assert!(look.unread_trimmed >= most, "step {}: {:?}, not {}", at, look, most);
        // If Redis does not know a lag, it may be more.
        let knows = !deletes && look.groups.iter().all(|group| group.lag.is_some());
        prop_assert!(!knows || look.unread_trimmed == most, "step {}: {:?}, {}", at, look, most);
    }
    Ok(())
}

/// Runs many interleavings under a rule; what is trimmed by all of them, or the first that fails.
fn many(rule: &Trim, script: &'static str, cases: u32) -> Result<i64, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let node = NODE.to_string();
    let args = ["--stream-node-max-entries", &node];
    let server = runtime.block_on(outflow_local::Redis::start(dir.path(), &args));
    let server = server.expect("Redis");
    let scene = runtime.block_on(async {
        let redis = Redis::open(&SecretString::from(server.url()), "test").expect("an address");
        redis.ready(LIMIT).await.expect("a connection");
        Scene { redis, next: Cell::new(0) }
    });
    let relay = Trimmer::new(scene.redis.clone(), rule.clone()).running(Script::new(script));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let trimmed = Cell::new(0);
    let outcome = runner.run(&prop::collection::vec(step(), 1..60), |steps| {
        let case = runtime.block_on(follow(&scene, &relay, rule, &steps))?;
        trimmed.set(trimmed.get() + case);
        Ok(())
    });
    runtime.block_on(scene.redis.close());
    outcome.map(|()| trimmed.get()).map_err(|error| error.to_string())
}

#[test]
fn nothing_that_a_group_needs_is_trimmed() {
    let trimmed = many(&consumed(), SCRIPT, 300).expect("no entry is lost");
    assert!(trimmed > 100, "only {trimmed} entries were trimmed: nothing was tried");
}

#[test]
fn named_groups_protect_before_they_exist() {
    let rule = Trim { groups: vec!["late".to_owned()], ..consumed() };
    let trimmed = many(&rule, SCRIPT, 200).expect("no entry is lost");
    assert!(trimmed > 20, "only {trimmed} entries were trimmed: nothing was tried");
}

#[test]
fn what_a_limit_drops_unread_is_counted() {
    for rule in [
        Trim { max_len: 5, ..consumed() },
        Trim { when: TrimWhen::Length, max_len: 4, ..consumed() },
    ] {
        let trimmed = many(&rule, SCRIPT, 200).expect("the count is right");
        assert!(trimmed > 100, "only {trimmed} entries were trimmed: nothing was tried");
    }
}

/// Each part of the rule that is left out loses entries, and is caught.
#[test]
fn a_rule_that_leaves_something_out_is_caught() {
    let mutants = [
        (
            "pending entries",
            "group.oldest, group.needed = needed_from(group)",
            "group.needed = group.last",
        ),
        ("the slowest group", "if is_before(group.needed, cut) then", "if group.name == 'b' then"),
        ("the order of ids", "if #ms ~= #other_ms then", "if false then"),
        (
            "a group that was set back",
            "is_before(entry, group.last) and entry or group.last",
            "entry",
        ),
        ("groups that must exist", "#groups > 0 and #missing == 0", "true"),
    ];
    let rule = Trim { groups: vec!["late".to_owned()], ..consumed() };
    let mut caught = 0;
    for (what, from, to) in mutants {
        assert!(SCRIPT.contains(from), "{what}: the script has changed");
        let mutant: &'static str = Box::leak(SCRIPT.replace(from, to).into_boxed_str());
        let found = many(&rule, mutant, 400);
        assert!(found.is_err(), "{what}: not caught");
        caught += 1;
    }
    assert_eq!(caught, 5);
}

/// Ages are those of Redis's clock, which the ids have.
#[tokio::test]
async fn what_is_younger_than_keep_read_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = outflow_local::Redis::start(dir.path(), &[]).await.expect("Redis");
    let redis = Redis::open(&SecretString::from(server.url()), "test").expect("an address");
    redis.ready(LIMIT).await.expect("a connection");
    let scene = Scene { redis, next: Cell::new(0) };
    let now = scene.call("TIME", &[]).await.items()[0].int().expect("seconds");
    for (age, count) in [(7_200, 250), (0, 250)] {
        for number in 0..count {
            let id = format!("{}-{number}", (now - age) * 1_000);
            scene.call("XADD", &[STREAM, &id, "f", "v"]).await;
        }
    }
    scene.call("XGROUP", &["CREATE", STREAM, "a", "$"]).await;
    for (keep_read, left) in [(10_000, 500), (3_600, 300), (0, 100)] {
        let rule = Trim { keep_read: Duration::from_secs(keep_read), ..consumed() };
        let look = Trimmer::new(scene.redis.clone(), rule).look(STREAM).await.expect("an answer");
        // Whole nodes of 100 go.
        assert_eq!(look.expect("a stream").entries, left, "keep_read = {keep_read} s");
    }
    scene.redis.close().await;
}
