//! Stories told by hand, on four clusters each.

use timberline_sim::{Options, Scenario, run};

fn assert_kept(scenario: Scenario) {
    for seed in 0..4 {
        let run = run(seed, &Options { scenario: Some(scenario), ..Options::default() });
        assert_eq!(run.verdict, Ok(()), "seed {seed}\n{}", run.plan);
    }
}

/// T5.
#[test]
fn two_clocks_of_five_that_lie_together_are_fenced_and_three_nodes_go_on() {
    assert_kept(Scenario::TwoOfFiveLie);
}

/// T6.
#[test]
fn two_clocks_of_four_that_lie_together_stop_all_nodes_from_exposing_and_nothing_is_lost() {
    assert_kept(Scenario::TwoOfFourLie);
}
