//! Lets numbered batches through one after another, however they arrive.

use tokio::sync::watch;

/// A gate that opens for one number at a time, in order.
///
/// A batch that does not come out at the other end ([`Turn`] dropped instead of [`Turn::done`])
/// breaks the gate for all behind it; those in front are through already.
pub(super) struct OrderedGate {
    state: watch::Sender<State>,
}

#[derive(Clone, Copy)]
struct State {
    next: u64,
    broken: bool,
}

/// The batch in front has failed.
pub(super) struct Broken;

/// The right to pass; ends with [`Turn::done`].
pub(super) struct Turn<'a> {
    gate: &'a OrderedGate,
}

impl OrderedGate {
    /// A gate whose first number is `first`.
    pub(super) fn new(first: u64) -> Self {
        Self { state: watch::Sender::new(State { next: first, broken: false }) }
    }

    /// Waits for this number's turn.
    pub(super) async fn wait(&self, number: u64) -> Result<Turn<'_>, Broken> {
        let mut state = self.state.subscribe();
        // The sender lives as long as `self`, so that waiting cannot fail.
        match state.wait_for(|state| state.broken || state.next == number).await {
            Ok(state) if state.next == number && !state.broken => Ok(Turn { gate: self }),
            Ok(_) | Err(_) => Err(Broken),
        }
    }
}

impl Turn<'_> {
    /// Lets the next number through.
    pub(super) fn done(self) {
        self.gate.state.send_modify(|state| state.next += 1);
        std::mem::forget(self);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.gate.state.send_modify(|state| state.broken = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;

    use parking_lot::Mutex;

    #[tokio::test]
    async fn batches_pass_in_order_and_none_behind_one_that_failed() {
        let gate = OrderedGate::new(7);
        let passed = Mutex::new(Vec::new());
        let pass = async |number: u64| {
            let Ok(turn) = gate.wait(number).await else { return false };
            passed.lock().push(number);
            if number == 9 {
                drop(turn);
            } else {
                turn.done();
            }
            true
        };
        let through = join_all([10, 8, 9, 7].map(pass)).await;
        assert_eq!(*passed.lock(), [7, 8, 9]);
        assert_eq!(through, [false, true, true, true]);
    }
}
