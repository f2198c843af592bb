//! What was asked for last is asked for again: a small table of answers, a slot for each hash.

use std::hash::{BuildHasher, Hash, RandomState};

const SLOTS: usize = 1 << 10;

/// Remembers answers; a later one takes the slot of an earlier one. So memory is flat, and what is hostile gains
/// no more than that nothing is remembered.
#[derive(Debug)]
pub(super) struct Recent<Q, A> {
    slots: Vec<Option<(Q, A)>>,
    hasher: RandomState,
}

impl<Q: Copy + Eq + Hash, A: Copy> Recent<Q, A> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), hasher: RandomState::new() }
    }

    /// The answer to `question`, and whether it had to be found first.
    pub(super) fn get(&mut self, question: Q, find: impl FnOnce() -> A) -> (A, bool) {
        if self.slots.is_empty() {
            // Many a text has none of a kind.
            self.slots.resize_with(SLOTS, || None);
        }
        let hash = self.hasher.hash_one(question);
        let slot = &mut self.slots[usize::try_from(hash % SLOTS as u64).unwrap_or(0)];
        match slot {
            Some((known, answer)) if *known == question => (*answer, false),
            _ => {
                let answer = find();
                *slot = Some((question, answer));
                (answer, true)
            }
        }
    }
}
