//! Lanes that wait for memory.
//!
//! Types with limits have a share of the memory, so that they do not hold up the others while they
//! are being handled. So there are two lines for memory. Whoever waits because there is none at all
//! keeps younger ones from taking what it waits for; whoever waits for its share does not. A lane
//! in a line has its place already.

use std::collections::VecDeque;

use super::lane::Lane;

/// Lanes that wait for memory to fetch their first entry into, with the numbers of their turns.
#[derive(Debug, Default)]
pub(super) struct ForMemory {
    /// Of types without limits, and with limits.
    lines: [VecDeque<(u64, Lane)>; 2],
    last: u64,
}

impl ForMemory {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(VecDeque::is_empty)
    }

    pub(super) fn push(&mut self, is_limited: bool, lane: Lane) {
        self.last += 1;
        self.lines[usize::from(is_limited)].push_back((self.last, lane));
    }

    /// The lines with the lanes at their heads, the one that has waited for longest first.
    pub(super) fn heads(&self) -> impl Iterator<Item = (usize, &Lane)> {
        let [one, other] = [0, 1].map(|line| Some((line, self.lines[line].front()?)));
        let turn = |head: &Option<(usize, &(u64, Lane))>| head.map(|(_, (turn, _))| *turn);
        let heads = if turn(&other) < turn(&one) { [other, one] } else { [one, other] };
        heads.into_iter().flatten().map(|(line, (_, lane))| (line, lane))
    }

    pub(super) fn pop(&mut self, line: usize) -> Option<Lane> {
        self.lines[line].pop_front().map(|(_, lane)| lane)
    }

    pub(super) fn forget(&mut self, is_gone: impl Fn(&Lane) -> bool) -> Vec<Lane> {
        let mut gone = Vec::new();
        for line in &mut self.lines {
            let (lost, kept) = line.drain(..).partition(|(_, lane)| is_gone(lane));
            *line = kept;
            let lost: VecDeque<(u64, Lane)> = lost;
            gone.extend(lost.into_iter().map(|(_, lane)| lane));
        }
        gone
    }
}
