//! What the models take of Raft as given: who may be elected, and how a follower's log becomes its leader's.
//!
//! Elections and the copying of one entry are single steps here; what raft proves about lost, late and doubled
//! messages of its own is not proved again. Groups have three replicas or five; two decide, or three.

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

/// How many entries a quorum of `replicas` holds, of `held` by each that counts.
pub fn held_by_quorum(mut held: Vec<usize>, replicas: usize) -> usize {
    held.sort_unstable_by(|one, other| other.cmp(one));
    held.get(replicas / 2).copied().unwrap_or_default()
}

/// The smallest sets of others that are a quorum together with `replica`.
pub fn quorums_with(replica: usize, replicas: usize) -> Vec<Vec<usize>> {
    assert!(matches!(replicas, 3 | 5), "a group has three replicas or five");
    let others: Vec<usize> = (0..replicas).filter(|other| *other != replica).collect();
    if replicas == 3 {
        return others.into_iter().map(|other| vec![other]).collect();
    }
    let pairs = others.iter().flat_map(|one| others.iter().map(move |other| (*one, *other)));
    pairs.filter(|(one, other)| one < other).map(|(one, other)| vec![one, other]).collect()
}
