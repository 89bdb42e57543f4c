//! What a member reads, in pieces that have come differently far. Pure.
//!
//! Usually it is one piece: all slots of the member. After a change of members it holds what others
//! had read of its new slots; and a stream that refuses its events, or that is paused, has a piece
//! of its own, which stays behind. A piece of slots leaves out the streams that have pieces of
//! their own. A piece that has come as far as the piece of slots around it is merged into it. Each
//! goes to where that one is going, and no farther: if it had new rows all the time, the others
//! would never have their turn.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::position::{BadPosition, Position, bad_number};
use super::snapshot::Snapshot;
use crate::relay::outbox::slots::{SLOTS, mask};

/// A part of the events, and how far it was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Its slots, as bits.
    pub slots: i64,
    /// The only stream of it; `None`: all that have no piece of their own.
    pub stream: Option<String>,
    /// How far.
    pub position: Position,
}

/// All pieces of one member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Pieces(Vec<Piece>);

/// One thing to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Which piece.
    pub index: usize,
    /// Up to where, so that it ends where the main piece is.
    pub target: Option<Snapshot>,
    /// Streams that are left out.
    pub except: Vec<String>,
}

/// The pieces that one look has read up to now, and has found nothing in.
#[derive(Debug, Default)]
pub struct UpToNow(Vec<(i64, Option<String>)>);

impl UpToNow {
    /// The first of these turns whose piece this look has not read up to now yet. If it has no
    /// target, it counts as read from here on.
    pub fn next(&mut self, pieces: &Pieces, turns: Vec<Next>) -> Option<Next> {
        let name = |next: &Next| {
            let piece = &pieces.0[next.index];
            (piece.slots, piece.stream.clone())
        };
        let next = turns.into_iter().find(|next| !self.0.contains(&name(next)))?;
        if next.target.is_none() && pieces.0[next.index].position.target.is_none() {
            self.0.push(name(&next));
        }
        Some(next)
    }
}

/// Where a piece is, measured by where the piece around it is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It has to come as far, or is on its way there.
    Behind,
    /// It waits to be merged.
    There,
    Ahead,
}

impl Pieces {
    /// These, merged and completed.
    pub fn new(pieces: Vec<Piece>) -> Self {
        let mut pieces = Self(pieces);
        pieces.tidy();
        pieces
    }

    /// All slots at one position.
    pub fn whole(position: Position) -> Self {
        Self(vec![Piece { slots: -1, stream: None, position }])
    }

    /// Each of them.
    pub fn all(&self) -> &[Piece] {
        &self.0
    }

    /// The slots that they cover.
    pub fn slots(&self) -> i64 {
        self.of_slots().fold(0, |slots, piece| slots | piece.slots)
    }

    /// Whether a row has been read, whose stream is known or does not matter.
    pub fn have_passed(&self, slot: u32, stream: Option<&str>, xid: u64, id: i64) -> bool {
        let has_slot = |piece: &&Piece| piece.slots >> slot & 1 == 1;
        let own = stream.and_then(|stream| {
            self.0.iter().filter(has_slot).find(|piece| piece.stream.as_deref() == Some(stream))
        });
        let piece = own.or_else(|| self.of_slots().find(has_slot));
        piece.is_some_and(|piece| piece.position.has_passed(xid, id))
    }

    /// Streams that have pieces of their own.
    pub fn streams(&self) -> BTreeSet<&str> {
        self.0.iter().filter_map(|piece| piece.stream.as_deref()).collect()
    }

    /// Gives a stream pieces of its own, so that the others can go on without it.
    pub fn part(&mut self, stream: &str) {
        let slots = self.of_slots().filter(|around| !self.is_apart(stream, around.slots));
        let apart: Vec<Piece> = slots
            .map(|around| Piece { stream: Some(stream.to_owned()), ..around.clone() })
            .collect();
        self.0.extend(apart);
    }

    /// What to read, in turn, but for these streams: first what has stayed behind, and last what is
    /// ahead.
    pub fn turns(&self, left_out: &[String]) -> Vec<Next> {
        let Some(main) = self.main() else { return Vec::new() };
        let is_left_out =
            |piece: &Piece| piece.stream.as_ref().is_some_and(|stream| left_out.contains(stream));
        let others: Vec<usize> = (0..self.0.len())
            .filter(|index| *index != main && !is_left_out(&self.0[*index]))
            .collect();
        let at = |place: Place| others.iter().copied().filter(move |at| self.place(*at) == place);
        let indices = at(Place::Behind).chain([main]).chain(at(Place::Ahead));
        indices.map(|index| self.next(index)).collect()
    }

    /// What to read of one stream that has pieces of its own.
    pub fn turns_of(&self, stream: &str) -> Vec<Next> {
        let is_of = |index: &usize| self.0[*index].stream.as_deref() == Some(stream);
        (0..self.0.len()).filter(is_of).map(|index| self.next(index)).collect()
    }

    /// Moves a piece.
    pub fn move_to(&mut self, index: usize, position: Position) {
        self.0[index].position = position;
    }

    /// All but one, as text.
    pub fn without(&self, index: usize) -> String {
        let rest = self.0.iter().enumerate().filter(|(other, _)| *other != index);
        lines(rest.map(|(_, piece)| piece))
    }

    /// Merges what has come equally far, and completes what was cut by a change of members.
    pub fn tidy(&mut self) {
        self.join_equal();
        let around: Vec<Piece> = self.of_slots().cloned().collect();
        for around in &around {
            let streams: BTreeSet<String> = self
                .0
                .iter()
                .filter(|piece| piece.slots & around.slots != 0)
                .filter_map(|piece| piece.stream.clone())
                .collect();
            for stream in streams {
                self.fit(&stream, around);
            }
        }
        self.0.retain(|piece| piece.slots != 0);
        self.join_equal();
    }

    /// Shares all pieces of all members out anew. Slots that nobody has read of begin at
    /// `otherwise`.
    pub fn share_out(all: &[Self], shares: &[i32], otherwise: &Position) -> BTreeMap<i32, Self> {
        let known = all.iter().fold(0, |slots, pieces| slots | pieces.slots());
        let rest = Piece { slots: !known, stream: None, position: otherwise.clone() };
        let pieces: Vec<&Piece> = all.iter().flat_map(|pieces| &pieces.0).chain([&rest]).collect();
        let owners: BTreeSet<i32> = shares.iter().copied().collect();
        let share = |owner: i32| {
            let mine = mask(shares, owner);
            let cut = |piece: &&Piece| {
                let slots = piece.slots & mine;
                (slots != 0).then(|| Piece { slots, ..(*piece).clone() })
            };
            (owner, Self::new(pieces.iter().filter_map(cut).collect()))
        };
        owners.into_iter().map(share).collect()
    }

    /// Of two states of the same outbox, for each slot and each stream what both have passed. A
    /// slot that one of them does not have is left out.
    ///
    /// It is not one of the two, but for what they have in common: one may have read on in a
    /// Postgres that is gone, from behind the other.
    pub fn common(one: &[Self], other: &[Self]) -> Self {
        let streams: BTreeSet<&str> = one.iter().chain(other).flat_map(Self::streams).collect();
        let of = |all: &[Self], slot: usize, stream: Option<&str>| -> Option<Position> {
            let has = |piece: &&Piece| piece.slots >> slot & 1 == 1;
            let pieces = || all.iter().flat_map(Self::all).filter(has);
            let own = pieces().find(|piece| stream.is_some() && piece.stream.as_deref() == stream);
            let piece = own.or_else(|| pieces().find(|piece| piece.stream.is_none()))?;
            Some(piece.position.clone())
        };
        let wanted = std::iter::once(None).chain(streams.into_iter().map(Some));
        let wanted: Vec<Option<&str>> = wanted.collect();
        let pieces = (0..SLOTS).flat_map(|slot| {
            wanted.iter().filter_map(move |stream| {
                let (mine, others) = (of(one, slot, *stream)?, of(other, slot, *stream)?);
                let position = mine.common(&others);
                Some(Piece { slots: 1 << slot, stream: stream.map(str::to_owned), position })
            })
        });
        Self::new(pieces.collect())
    }

    /// Whether these cover each slot exactly once, and all streams within.
    pub fn cover_once<'a>(all: impl Iterator<Item = &'a Self>) -> bool {
        let pieces: Vec<&Piece> = all.flat_map(Self::of_slots).collect();
        let times =
            |slot: usize| pieces.iter().filter(|piece| piece.slots >> slot & 1 == 1).count();
        (0..SLOTS).all(|slot| times(slot) == 1)
    }

    /// Parses what [`Display`](fmt::Display) prints.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, BadPosition> {
        text.lines().map(piece).collect::<Result<_, _>>().map(Self::new)
    }

    fn of_slots(&self) -> impl Iterator<Item = &Piece> {
        self.0.iter().filter(|piece| piece.stream.is_none())
    }

    /// The piece of slots that has come farthest: the others are to come as far.
    fn main(&self) -> Option<usize> {
        let mut main: Option<usize> = None;
        for (index, piece) in self.0.iter().enumerate().filter(|(_, piece)| piece.stream.is_none())
        {
            let is_ahead = main.is_none_or(|main| piece.position.includes(&self.0[main].position));
            main = if is_ahead { Some(index) } else { main };
        }
        main
    }

    fn next(&self, index: usize) -> Next {
        let piece = &self.0[index];
        // Where it is already, no row would be looked at: there would seem to be none.
        let target = self.around(index).filter(|_| self.place(index) == Place::Behind);
        let target = target.filter(|_| piece.position.target.is_none());
        let target = target.map(|around| around.position.goal().clone());
        let except = match &piece.stream {
            Some(_) => Vec::new(),
            None => self
                .streams()
                .into_iter()
                .filter(|stream| self.is_apart(stream, piece.slots))
                .map(str::to_owned)
                .collect(),
        };
        Next { index, target, except }
    }

    /// The piece that this one is to come as far as; `None`: it is the one that is farthest.
    fn around(&self, index: usize) -> Option<&Piece> {
        let piece = &self.0[index];
        let around = match &piece.stream {
            None => self.main(),
            Some(_) => self.0.iter().position(|around| {
                around.stream.is_none() && around.slots & piece.slots == piece.slots
            }),
        };
        around.filter(|around| *around != index).map(|around| &self.0[around])
    }

    fn place(&self, index: usize) -> Place {
        let Some(around) = self.around(index) else { return Place::Ahead };
        let (own, goal) = (&self.0[index].position, around.position.goal());
        if own.target.is_none() && own.seen == *goal {
            Place::There
        } else if goal.includes(own.goal()) {
            Place::Behind
        } else {
            Place::Ahead
        }
    }

    /// Whether a stream has pieces of its own within these slots.
    fn is_apart(&self, stream: &str, slots: i64) -> bool {
        let is_within =
            |piece: &Piece| piece.stream.as_deref() == Some(stream) && piece.slots & slots != 0;
        self.0.iter().any(is_within)
    }

    /// Makes the pieces of a stream cover the piece of slots around them, or none of it.
    fn fit(&mut self, stream: &str, around: &Piece) {
        let is_within = |piece: &Piece| {
            piece.stream.as_deref() == Some(stream) && piece.slots & around.slots != 0
        };
        let within = || self.0.iter().filter(|piece| is_within(piece));
        if within().all(|piece| piece.position.is_at(&around.position)) {
            for piece in self.0.iter_mut().filter(|piece| is_within(piece)) {
                piece.slots &= !around.slots;
            }
            return;
        }
        let rest = within().fold(around.slots, |rest, piece| rest & !piece.slots);
        self.0.push(Piece {
            slots: rest,
            stream: Some(stream.to_owned()),
            position: around.position.clone(),
        });
    }

    fn join_equal(&mut self) {
        let mut joined: Vec<Piece> = Vec::new();
        for piece in self.0.drain(..).filter(|piece| piece.slots != 0) {
            let same = joined.iter_mut().find(|known| {
                known.stream == piece.stream && known.position.is_at(&piece.position)
            });
            match same {
                Some(known) => {
                    known.slots |= piece.slots;
                    known.position.hint = known.position.hint.max(piece.position.hint);
                }
                None => joined.push(piece),
            }
        }
        self.0 = joined;
    }
}

/// A line for each piece: `slots|seen|target|mark|hint|stream`, the stream in hexadecimal digits.
impl fmt::Display for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&lines(self.0.iter()))
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|", self.slots, self.position)?;
        self.stream
            .iter()
            .flat_map(|name| name.bytes())
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn lines<'a>(pieces: impl Iterator<Item = &'a Piece>) -> String {
    pieces.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn piece(line: &str) -> Result<Piece, BadPosition> {
    let parts = || BadPosition::Parts(line.to_owned());
    let (slots, rest) = line.split_once('|').ok_or_else(parts)?;
    let (position, stream) = rest.rsplit_once('|').ok_or_else(parts)?;
    Ok(Piece {
        slots: slots.parse().map_err(|_| bad_number(slots))?,
        stream: Some(stream).filter(|hex| !hex.is_empty()).map(name).transpose()?,
        position: Position::parse(position)?,
    })
}

fn name(hex: &str) -> Result<String, BadPosition> {
    let bad = || BadPosition::Name(hex.to_owned());
    let bytes = hex.as_bytes().chunks(2).map(|digits| {
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 2)?;
        u8::from_str_radix(digits, 16).ok()
    });
    let bytes: Vec<u8> = bytes.collect::<Option<_>>().ok_or_else(bad)?;
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests;
