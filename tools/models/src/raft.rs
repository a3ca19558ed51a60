//! What the models take of Raft as given: who may be elected, and how a follower's log becomes its leader's.
//!
//! Elections and the copying of one entry are single steps here; what raft proves about lost, late and doubled
//! messages of its own is not proved again. Two of three replicas decide, or three of five.

use timberline::types::Term;

/// An entry of a replicated log.
pub trait Entry: Clone + PartialEq {
    /// The reign in which a leader made it.
    fn term(&self) -> Term;
}

/// Whether a voter with the log `voter` may elect a candidate with the log `candidate`.
pub fn is_up_to_date<E: Entry>(candidate: &[E], voter: &[E]) -> bool {
    let rank = |log: &[E]| (log.last().map(Entry::term), log.len());
    rank(candidate) >= rank(voter)
}

/// How many entries two logs have in common from the start.
pub fn matched<E: Entry>(one: &[E], other: &[E]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Copies the next entry of the leader's log that the follower lacks, in place of what contradicts it. Gives the
/// position up to which the two then agree.
pub fn copy_next<E: Entry>(leader: &[E], follower: &mut Vec<E>) -> usize {
    let matched = matched(leader, follower);
    let Some(next) = leader.get(matched) else { return matched };
    follower.truncate(matched);
    follower.push(next.clone());
    matched + 1
}
