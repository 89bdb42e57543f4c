//! What each consumer group has done with an entry, as far as Redis can tell: it knows the last
//! entry that a group was given, and those that were not acknowledged. Nothing else.

use super::found::{ConsumerLetter, Did, FoundEntry, GroupOf};
use super::scan::refused;
use outflow_connect::redis::{Args, Failure, Redis, Reply};

/// Groups that are looked at.
const GROUPS_MAX: usize = 100;

/// The groups of one stream.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Each with the last entry that it was given.
    groups: Vec<(String, String)>,
    problem: Option<String>,
}

impl Groups {
    /// Asks for the groups of a stream.
    pub(super) async fn of(redis: &Redis, user: &str, stream: &str) -> Self {
        let reply = match redis.call("XINFO", Args::from(["GROUPS", stream])).await {
            Ok(reply) => reply,
            Err(failure) => {
                let problem = Some(refused(&failure, user, "xinfo|groups"));
                return Self { groups: Vec::new(), problem };
            }
        };
        let of = |group: &Reply| {
            let field = |name: &str| {
                let mut pairs = group.items().chunks_exact(2);
                pairs.find(|pair| pair[0].text().is_some_and(|text| text == name.as_bytes()))?[1]
                    .string()
            };
            Some((field("name")?, field("last-delivered-id")?))
        };
        let all = reply.items();
        let more = all.len().saturating_sub(GROUPS_MAX);
        let problem = (more > 0).then(|| format!("{more} more groups were not looked at"));
        Self { groups: all.iter().take(GROUPS_MAX).filter_map(of).collect(), problem }
    }

    /// What they have done with one entry. `letters`: dead letters of the stream's consumers.
    pub(super) async fn fill(
        &self,
        redis: &Redis,
        user: &str,
        entry: &mut FoundEntry,
        letters: &[ConsumerLetter],
    ) {
        entry.problems.extend(self.problem.clone());
        for (group, last) in &self.groups {
            let is_its = |letter: &&ConsumerLetter| {
                letter.group.as_ref() == Some(group)
                    && letter.entry_id.as_ref() == Some(&entry.id)
                    && letter.from_stream.as_deref().is_none_or(|stream| stream == entry.stream)
            };
            let dead = letters
                .iter()
                .find(is_its)
                .map(|letter| Did::Dead { attempts: letter.attempts, error: letter.error.clone() });
            let did = match pending(redis, &entry.stream, group, &entry.id).await {
                Ok(Some(pending)) => pending,
                Ok(None) => dead.unwrap_or_else(|| match place(&entry.id).zip(place(last)) {
                    Some((entry, last)) if entry > last => Did::NotDelivered,
                    Some(_) => Did::NotPending,
                    None => Did::Unknown,
                }),
                Err(failure) => {
                    let problem = refused(&failure, user, "xpending");
                    if !entry.problems.contains(&problem) {
                        entry.problems.push(problem);
                    }
                    dead.unwrap_or(match place(&entry.id).zip(place(last)) {
                        Some((entry, last)) if entry > last => Did::NotDelivered,
                        _ => Did::Unknown,
                    })
                }
            };
            entry.groups.push(GroupOf { group: group.clone(), did });
        }
    }
}

async fn pending(
    redis: &Redis,
    stream: &str,
    group: &str,
    id: &str,
) -> Result<Option<Did>, Failure> {
    let reply = redis.call("XPENDING", Args::from([stream, group, id, id, "1"])).await?;
    Ok(reply.items().first().and_then(|entry| match entry.items() {
        [_, consumer, idle, deliveries, ..] => Some(Did::Pending {
            consumer: consumer.string()?,
            idle_ms: idle.int()?,
            deliveries: deliveries.int()?,
        }),
        _ => None,
    }))
}

/// Milliseconds and number of an entry's id.
fn place(id: &str) -> Option<(u64, u64)> {
    let (ms, number) = id.split_once('-')?;
    Some((ms.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn ids_are_compared_as_numbers() {
        assert!(place("1000-0") > place("999-5"), "not as texts");
        assert!(place("1000-10") > place("1000-9"));
        assert_eq!(place("0-0"), Some((0, 0)));
        assert_eq!(place("x"), None);
    }
}
