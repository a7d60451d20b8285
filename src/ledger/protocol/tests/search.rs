//! A search through all states of a model, breadth first, so that the first fault that is found has the shortest way.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Debug};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

/// A state, and what can happen in it.
pub trait Model: Clone + Hash {
    type Action: Copy + Debug;

    fn actions(&self) -> Vec<Self::Action>;
    /// What follows; `None` where nothing changes.
    fn after(&self, action: Self::Action) -> Option<Self>;
    /// What must never be, if it is.
    fn fault(&self) -> Option<String>;
}

/// What a search has found.
#[derive(Debug)]
pub struct Found<A> {
    pub states: usize,
    pub transitions: usize,
    /// Actions from the first state to the last that was reached.
    pub depth: usize,
    /// Whether all states were reached.
    pub is_whole: bool,
    /// A fault, and the actions that lead to it.
    pub fault: Option<(String, Vec<A>)>,
}

fn hash_of(state: &impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one(state)
}

/// Reaches `most` states at most, and visits each.
pub fn search<M: Model>(first: M, most: usize, mut visit: impl FnMut(&M)) -> Found<M::Action> {
    let first_hash = hash_of(&first);
    // By the hash alone: that two states of a million share one has a chance of one in ten million.
    let mut seen = HashMap::from([(first_hash, None)]);
    let mut found = Found {
        states: 1,
        transitions: 0,
        depth: 0,
        is_whole: true,
        fault: None,
    };
    let mut frontier = vec![(first_hash, first)];
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for (hash, state) in frontier {
            visit(&state);
            for action in state.actions() {
                let Some(after) = state.after(action) else {
                    continue;
                };
                found.transitions += 1;
                let after_hash = hash_of(&after);
                if seen.contains_key(&after_hash) {
                    continue;
                }
                seen.insert(after_hash, Some((hash, action)));
                found.states += 1;
                if let Some(fault) = after.fault() {
                    let mut way = Vec::new();
                    let mut at = after_hash;
                    while let Some(Some((before, action))) = seen.get(&at) {
                        way.push(*action);
                        at = *before;
                    }
                    way.reverse();
                    found.depth += 1;
                    found.is_whole = false;
                    found.fault = Some((fault, way));
                    return found;
                }
                if found.states >= most {
                    found.is_whole = false;
                    return found;
                }
                next.push((after_hash, after));
            }
        }
        found.depth += usize::from(!next.is_empty());
        frontier = next;
    }
    found
}

/// Goes so many ways of so many steps, each by chance, and the same ones each time.
pub fn walk<M: Model>(first: &M, ways: usize, steps: usize) -> Found<M::Action> {
    let mut found = Found {
        states: 0,
        transitions: 0,
        depth: steps,
        is_whole: false,
        fault: None,
    };
    let mut seen = HashSet::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..ways {
        let (mut state, mut way) = (first.clone(), Vec::new());
        // Every second action changes nothing.
        for _ in 0..2 * steps {
            let actions = state.actions();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let action = actions[(random >> 33) as usize % actions.len()];
            let Some(after) = state.after(action) else {
                continue;
            };
            state = after;
            way.push(action);
            found.transitions += 1;
            seen.insert(hash_of(&state));
            if let Some(fault) = state.fault() {
                found.states = seen.len();
                found.fault = Some((fault, way));
                return found;
            }
        }
    }
    found.states = seen.len();
    found
}

impl<A: Debug> fmt::Display for Found<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.is_whole { "all" } else { "the first" };
        write!(
            f,
            "{all} {} states, {} transitions, depth {}",
            self.states, self.transitions, self.depth
        )?;
        if let Some((fault, way)) = &self.fault {
            write!(f, "; {fault} after {} steps: {way:?}", way.len())?;
        }
        Ok(())
    }
}
