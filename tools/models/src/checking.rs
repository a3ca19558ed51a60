//! Runs a model: the true rules until nothing is left to visit, a mutant until it breaks the promise it should.
//!
//! Knows nothing of any one model. A run that could hide something fails: too few states, a `sometimes` never seen,
//! a counterexample of another property than the one asked for.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// Visits every state; panics unless all `always` hold, each `sometimes` was seen, and there were `floor` states.
pub fn exhaust<M>(size: &str, model: M, floor: usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + PartialEq + Hash + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let start = Instant::now();
    let checked = model.checker().spawn_bfs().join();
    assert!(checked.is_done(), "{size}: the search stopped early");
    checked.assert_properties();
    let (states, depth) = (checked.unique_state_count(), checked.max_depth());
    println!("{size}: {states} states, {depth} steps deep, {:.1} s", start.elapsed().as_secs_f64());
    assert!(states >= floor, "{size}: {states} states, fewer than {floor}: what became unreachable?");
}

/// Searches until `property` is broken; panics if it never is.
pub fn breaks<M>(mutant: &impl Debug, model: M, property: &'static str)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + PartialEq + Hash + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let expectation = model.property(property).expectation;
    assert_eq!(expectation, Expectation::Always, "{property:?} is no promise");
    let found = HasDiscoveries::AllOf([property].into());
    let checked = model.checker().finish_when(found).spawn_bfs().join();
    let states = checked.unique_state_count();
    let path = checked.discovery(property);
    let path = path.unwrap_or_else(|| panic!("{mutant:?} survived {states} states: {property:?} holds"));
    let actions = path.into_actions();
    println!("{mutant:?} breaks {property:?} after {states} states: {actions:?}");
}
