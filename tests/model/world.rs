//! What the checks ask of a model.

use std::fmt::Debug;
use std::hash::Hash;

use stateright::Model;

/// A model within bounds.
pub(crate) trait World:
    Model<
        State: Clone + Debug + PartialEq + Hash + Send + Sync + 'static,
        Action: Copy + Eq + Hash + Debug + Send + Sync,
    > + Copy
    + Send
    + Sync
    + 'static
{
    /// The property that is looked for backwards (`liveness.rs`).
    const DELIVERED: &'static str;

    fn is_delivered(&self, state: &Self::State) -> bool;

    /// Whether delivery must be possible without it.
    fn is_fault(step: Self::Action) -> bool;

    /// What steps of its kind are called.
    fn kind(step: Self::Action) -> String;

    /// Faults that may happen, and that are not among these steps.
    fn missing(&self, taken: impl Iterator<Item = Self::Action>) -> Vec<String>;

    /// What is worth to be counted of a step that is taken in this state.
    fn sight(&self, state: &Self::State, step: Self::Action) -> Option<&'static str> {
        let _ = (state, step);
        None
    }

    /// Where a counterexample has led to.
    fn told(state: &Self::State) -> String;
}
