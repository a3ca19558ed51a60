//! Each checker accepts a true history and rejects it once it is mutated: dropped, swapped, doubled, shifted.

mod story;

use timberline::types::{Found, MarkReason, NodeId, Offset, OrderMark, ShardId, Term, Timestamp, Wait};
use timberline_checkers::{
    Append, Checker, Demand, Entry, Expects, FreshRead, GroupRead, GroupStep, History, Leading, Load, Marked,
    Outcome, Positions, Refuted, Stamp, Terms, Untold, check_all, disordered_pairs,
};

/// What the first checker that objects is called, with the mutation applied to a true history.
fn objection(mutate: impl FnOnce(&mut History)) -> Option<Checker> {
    let mut history = story::told();
    mutate(&mut history);
    check_all(&history, &Checker::ALL).err().map(|violation| violation.checker)
}

/// Whether `checker` alone objects.
fn objects(checker: Checker, mutate: impl FnOnce(&mut History)) -> bool {
    let mut history = story::told();
    mutate(&mut history);
    check_all(&history, &[checker]).is_err()
}

#[test]
fn a_true_history_is_accepted_and_everything_in_it_is_looked_at() {
    let history = story::told();
    for checker in Checker::ALL {
        let tally = check_all(&history, &[checker]).unwrap_or_else(|violation| panic!("{violation}"));
        assert!(tally.0 > 0, "{checker} looked at nothing");
    }
}

#[test]
fn an_acknowledged_append_dropped_from_all_logs_is_missed() {
    assert!(objects(Checker::Acknowledged, |history| {
        let lost = history.appends.iter().rev().find(|a| matches!(a.outcome, Outcome::Acknowledged { .. }));
        let lost = lost.expect("some were acknowledged").id;
        history.logs.iter_mut().for_each(|log| log.entries.retain(|entry| entry.append != lost));
    }));
    assert!(objects(Checker::Acknowledged, |history| {
        history.logs[1].entries.pop();
    }));
}

#[test]
fn a_hole_and_two_contents_at_one_offset_are_disagreements() {
    let hole = objection(|history| {
        let gone = history.logs[0].entries[3].append;
        history.logs.iter_mut().for_each(|log| log.entries.retain(|entry| entry.append != gone));
        history.shown.retain(|shown| shown.entry.append != gone);
    });
    assert_eq!(hole, Some(Checker::Agreement));
    assert_eq!(objection(|history| history.logs[0].entries[3].digest ^= 1), Some(Checker::Agreement));
    assert_eq!(objection(|history| history.shown[5].entry.stamp.timestamp.0 += 1), Some(Checker::Agreement));
}

#[test]
fn what_nobody_sent_or_sent_later_is_a_phantom() {
    assert!(objects(Checker::Phantom, |history| {
        let known = history.logs[0].entries[2].append;
        history.appends.retain(|append| append.id != known);
    }));
    assert!(objects(Checker::Phantom, |history| {
        let seen = history.shown[4];
        let append = history.appends.iter_mut().find(|append| append.id == seen.entry.append).unwrap();
        append.invoked_ns = seen.at_ns + 1;
    }));
}

#[test]
fn a_failure_that_turns_up_is_seen() {
    assert!(objects(Checker::Failed, |history| {
        let there = history.logs[0].entries[1].append;
        history.appends.iter_mut().find(|append| append.id == there).unwrap().outcome = Outcome::Failed;
    }));
}

#[test]
fn a_batch_that_stands_twice_is_seen() {
    assert!(objects(Checker::Duplicate, |history| {
        for log in &mut history.logs {
            let last = *log.entries.last().unwrap();
            let mut again = log.entries[0];
            again.stamp.offset = last.next_offset();
            again.stamp.timestamp = last.last_timestamp().next();
            log.entries.push(again);
        }
    }));
}

#[test]
fn a_producers_swapped_batches_are_seen() {
    assert!(objects(Checker::ProducerOrder, |history| {
        let shard = history.appends[0].shard;
        let producer = history.appends[0].producer;
        let mut own = history.appends.iter_mut().filter(|a| a.shard == shard && a.producer == producer);
        let (first, second) = (own.next().unwrap(), own.next().unwrap());
        std::mem::swap(&mut first.number, &mut second.number);
    }));
}

#[test]
fn an_offset_behind_one_sent_after_the_acknowledgement_is_seen() {
    assert!(objects(Checker::ShardOrder, |history| {
        let first = &mut history.appends[0];
        first.invoked_ns += story::HOUR_NS;
    }));
    assert!(objects(Checker::ShardOrder, |history| {
        let entries = &mut history.logs[0].entries;
        let lifted = entries[4].stamp.timestamp;
        entries[3].stamp.timestamp = lifted;
        history.logs.truncate(1);
        history.shown.clear();
    }));
}

#[test]
fn timestamps_shifted_against_another_shard_break_the_order_of_everything() {
    assert!(objects(Checker::TimeOrder, |history| {
        let shard = history.logs[0].shard;
        let shift = |timestamp: &mut Timestamp| timestamp.0 += story::HOUR_NS;
        for log in history.logs.iter_mut().filter(|log| log.shard == shard) {
            log.entries.iter_mut().for_each(|entry| shift(&mut entry.stamp.timestamp));
        }
        history.shown.clear();
    }));
}

#[test]
fn an_early_acknowledgement_an_early_reader_and_a_stamp_from_the_past_are_seen() {
    assert!(objects(Checker::CommitWait, |history| {
        let acknowledged = history.appends.iter_mut().find_map(|append| match &mut append.outcome {
            Outcome::Acknowledged { at_ns, stamp } => Some((at_ns, *stamp)),
            _ => None,
        });
        let (at_ns, stamp) = acknowledged.unwrap();
        *at_ns = stamp.timestamp.0;
    }));
    assert!(objects(Checker::CommitWait, |history| {
        let shown = &mut history.shown[7];
        shown.at_ns = shown.entry.last_timestamp().0;
    }));
    assert!(objects(Checker::CommitWait, |history| {
        for append in &mut history.appends {
            if let Outcome::Acknowledged { stamp, .. } = append.outcome {
                append.invoked_ns = stamp.timestamp.0 + 1;
            }
        }
    }));
}

/// The last acknowledged append and its stamp.
fn last_acknowledged(history: &mut History) -> (&mut Append, Stamp) {
    let acknowledged = |append: &&mut Append| matches!(append.outcome, Outcome::Acknowledged { .. });
    let append = history.appends.iter_mut().rev().find(acknowledged).unwrap();
    let Outcome::Acknowledged { stamp, .. } = append.outcome else { unreachable!("just looked") };
    (append, stamp)
}

#[test]
fn a_condition_that_was_granted_though_it_did_not_hold_is_seen() {
    let expecting = |expects: fn(Stamp) -> Expects| {
        objects(Checker::Conditions, |history| {
            let (append, stamp) = last_acknowledged(history);
            append.terms.expects = Some(expects(stamp));
        })
    };
    assert!(!expecting(|stamp| Expects::NextOffset(stamp.offset)));
    assert!(expecting(|stamp| Expects::NextOffset(Offset(stamp.offset.0 - 1))));
    assert!(!expecting(|stamp| Expects::KeyUnchangedSince(stamp.timestamp.minus_ns(1))));
    assert!(expecting(|_| Expects::KeyUnchangedSince(Timestamp::ZERO)));
    assert!(!objects(Checker::Conditions, |history| {
        let (append, _) = last_acknowledged(history);
        append.terms = Terms {
            key: Some(77),
            expects: Some(Expects::KeyUnchangedSince(Timestamp::ZERO)),
            ..append.terms
        };
    }));
}

#[test]
fn a_stamp_not_above_the_timestamp_that_was_named_is_seen() {
    let after = |behind_ns: u64| {
        objects(Checker::Conditions, |history| {
            let (append, stamp) = last_acknowledged(history);
            append.terms.after = stamp.timestamp.minus_ns(behind_ns);
        })
    };
    assert!(after(0) && !after(1));
}

#[test]
fn a_refusal_that_tells_of_what_has_not_passed_is_seen() {
    let told = |after_ns: u64, found: fn(Stamp) -> Found| {
        objects(Checker::CommitWait, |history| {
            let (append, stamp) = last_acknowledged(history);
            let (shard, at_ns) = (append.shard, stamp.timestamp.0 + after_ns);
            history.refuted.push(Refuted { shard, at_ns, found: found(stamp) });
        })
    };
    let of_key = |stamp: Stamp| Found::KeyChanged(stamp.timestamp);
    let of_offset = |stamp: Stamp| Found::NextOffset(stamp.offset.plus(1));
    assert!(told(0, of_key) && told(0, of_offset));
    assert!(!told(1, of_key) && !told(1, of_offset));
    assert!(!told(0, |stamp| Found::NextOffset(stamp.offset)), "it tells of the one before");
}

#[test]
fn a_receipt_at_commitment_excuses_its_own_earliness_and_nothing_else() {
    let early = |wait: Wait, at_ns: fn(Stamp) -> u64, checker: Checker| {
        objects(checker, |history| {
            let (append, stamp) = last_acknowledged(history);
            append.terms.wait = wait;
            append.outcome = Outcome::Acknowledged { at_ns: at_ns(stamp), stamp };
        })
    };
    let too_early = |stamp: Stamp| stamp.timestamp.0;
    assert!(early(Wait::Exposed, too_early, Checker::CommitWait));
    assert!(!early(Wait::Committed, too_early, Checker::CommitWait));
    assert!(objects(Checker::CommitWait, |history| {
        let (append, stamp) = last_acknowledged(history);
        append.terms.wait = Wait::Committed;
        append.invoked_ns = stamp.timestamp.0 + 1;
    }));
    assert!(
        objects(Checker::ShardOrder, |history| {
            let (append, _) = last_acknowledged(history);
            append.terms.wait = Wait::Committed;
            let shard = append.shard;
            let earlier = history.appends.iter_mut().find(|append| append.shard == shard).unwrap();
            earlier.invoked_ns += story::HOUR_NS;
        }),
        "within its shard its receipt orders it"
    );
}

/// The second entry of shard 2, with its several records, was sent only when its time had passed.
fn stamped_too_low(history: &mut History) -> (ShardId, Entry) {
    let log = history.logs.iter().find(|log| log.shard == ShardId(2)).unwrap();
    let entry = log.entries[1];
    assert!(entry.count > 1);
    let append = history.appends.iter_mut().find(|append| append.id == entry.append).unwrap();
    append.invoked_ns = entry.last_timestamp().0 + 1;
    (ShardId(2), entry)
}

fn mark(history: &mut History, shard: ShardId, from: Timestamp, until: Timestamp) {
    let (node, off_by_ns, reason) = (NodeId(1), 1, MarkReason::Outvoted);
    let mark = OrderMark { node, from, until, off_by_ns, reason };
    history.marks.push(Marked { node, shard, at_ns: u64::MAX, mark });
}

#[test]
fn what_was_stamped_or_shown_at_a_wrong_time_and_is_not_marked_is_seen() {
    assert!(objects(Checker::Marks, |history| _ = stamped_too_low(history)));
    assert!(objects(Checker::Marks, |history| {
        let shown = &mut history.shown[7];
        shown.at_ns = shown.entry.last_timestamp().0;
    }));
    assert!(!objects(Checker::Marks, |history| {
        stamped_too_low(history);
        history.awaited_marks = false;
    }));
}

#[test]
fn a_mark_excuses_the_records_of_its_range_and_its_shard_alone() {
    let marked = |shard: u64, skips_ns: u64, lacks_ns: u64| {
        objects(Checker::Marks, |history| {
            let (_, entry) = stamped_too_low(history);
            let from = entry.stamp.timestamp.plus_ns(skips_ns);
            mark(history, ShardId(shard), from, entry.last_timestamp().minus_ns(lacks_ns));
        })
    };
    assert!(!marked(2, 0, 0));
    assert!(marked(1, 0, 0));
    assert!(marked(2, 1, 0));
    assert!(marked(2, 0, 1));
    assert!(!objects(Checker::Marks, |history| {
        let (shard, entry) = stamped_too_low(history);
        let (first, last) = (entry.stamp.timestamp, entry.last_timestamp());
        mark(history, shard, last, last.plus_ns(story::HOUR_NS));
        mark(history, shard, first.minus_ns(story::HOUR_NS), last.minus_ns(1));
    }));
}

#[test]
fn a_stretch_of_time_that_nobody_could_tell_of_excuses_what_came_into_being_in_it() {
    let untold = |shard: u64, shift_ns: u64| {
        objects(Checker::Marks, |history| {
            let (_, entry) = stamped_too_low(history);
            let from_ns = entry.last_timestamp().0 + shift_ns;
            history.untold.push(Untold { shard: ShardId(shard), from_ns, until_ns: from_ns + 1 });
        })
    };
    assert!(!untold(2, 1));
    assert!(untold(1, 1));
    assert!(untold(2, story::HOUR_NS));
}

#[test]
fn every_pair_in_the_wrong_order_is_counted() {
    let mut history = story::told();
    assert_eq!(disordered_pairs(&history), 0);
    // Shown to nobody but its own client, all of shard 1 moves behind whatever was sent in the hour after it.
    history.shown.clear();
    let behind = history.logs.iter().filter(|log| log.shard == ShardId(2)).map(|log| log.entries.len()).max();
    for log in history.logs.iter_mut().filter(|log| log.shard == ShardId(1)) {
        log.entries.truncate(1);
        log.entries[0].stamp.timestamp.0 += story::HOUR_NS;
    }
    assert_eq!(disordered_pairs(&history), behind.unwrap() as u64);
}

#[test]
fn a_closed_time_behind_which_a_record_turns_up_is_seen() {
    assert!(objects(Checker::Closed, |history| history.closings[6].closed.0 += story::HOUR_NS));
    assert!(objects(Checker::Closed, |history| history.closings[6].next = Offset(0)));
}

#[test]
fn a_reader_that_skips_or_repeats_is_seen() {
    assert!(objects(Checker::Stream, |history| {
        history.shown.remove(10);
    }));
    assert!(objects(Checker::Stream, |history| {
        let again = history.shown[10];
        history.shown.insert(10, again);
    }));
}

#[test]
fn a_merged_stream_with_a_record_dropped_swapped_or_doubled_is_seen() {
    assert!(objects(Checker::Merged, |history| {
        history.merged[0].records.remove(9);
    }));
    assert!(objects(Checker::Merged, |history| history.merged[0].records.swap(3, 4)));
    assert!(objects(Checker::Merged, |history| {
        let again = history.merged[0].records[9];
        history.merged[0].records.insert(9, again);
    }));
    assert!(objects(Checker::Merged, |history| {
        history.merged[0].records.remove(0);
    }));
}

fn fresh_read(history: &mut History, wanted: fn(&Demand) -> bool) -> &mut FreshRead {
    history.fresh_reads.iter_mut().find(|read| wanted(&read.demand)).expect("one of each level")
}

#[test]
fn a_read_that_lacks_what_its_level_names_is_seen_and_what_only_a_stronger_one_names_is_not() {
    let back_by_one = |wanted: fn(&Demand) -> bool| {
        objects(Checker::Freshness, move |history| {
            let read = fresh_read(history, wanted);
            read.ends.values_mut().for_each(|end| end.0 -= 1);
            read.mark = Timestamp(0);
        })
    };
    let everything: fn(&Demand) -> bool = |demand| *demand == Demand::Everything;
    let older: fn(&Demand) -> bool = |demand| matches!(demand, Demand::OlderThan { .. });
    let own: fn(&Demand) -> bool = |demand| matches!(demand, Demand::Own { .. });
    assert!([everything, older, own].into_iter().all(back_by_one));
    let as_weak_as = |weaker: fn(&Demand) -> bool, stronger: Demand| {
        objects(Checker::Freshness, move |history| fresh_read(history, weaker).demand = stronger)
    };
    assert!(as_weak_as(older, Demand::Everything), "a bounded read may lack what a linearizable one may not");
    assert!(as_weak_as(older, Demand::Own { producer: 1 }), "and what its own client wrote");
    assert!(!as_weak_as(everything, Demand::Own { producer: 1 }), "linearizable contains the session");
    assert!(!as_weak_as(everything, Demand::OlderThan { age_ns: 1 }));
}

#[test]
fn a_read_that_ends_before_its_token_or_with_a_hole_below_its_mark_is_seen() {
    let told: fn(&Demand) -> bool = |demand| matches!(demand, Demand::Told { .. });
    assert!(objects(Checker::Freshness, |history| {
        let read = fresh_read(history, told);
        read.demand = Demand::Told { token: read.mark.next() };
    }));
    assert!(objects(Checker::Freshness, |history| {
        let read = fresh_read(history, told);
        read.ends.values_mut().next().unwrap().0 -= 1;
    }));
    assert!(objects(Checker::Freshness, |history| _ = fresh_read(history, told).ends.pop_first()));
}

/// Whether the checker of groups objects, in these words.
fn groups_object(words: &str, mutate: impl FnOnce(&mut History)) -> bool {
    let mut history = story::told();
    mutate(&mut history);
    check_all(&history, &[Checker::Groups]).is_err_and(|violation| violation.what.contains(words))
}

/// What happened to the group at its log's `offset`, as both nodes folded it.
fn at_step(history: &mut History, offset: u64, mutate: impl Fn(&mut GroupStep)) {
    let is_there = |step: &&mut GroupStep| step.offset == Offset(offset);
    history.group_steps.iter_mut().filter(is_there).for_each(mutate);
}

#[test]
fn a_record_that_a_group_passes_over_and_one_read_only_afterwards_are_seen() {
    assert!(groups_object("passed over", |history| _ = history.group_reads.remove(5)));
    assert!(groups_object("passed over", |history| history.group_reads[5].at_ns += story::HOUR_NS));
    assert!(groups_object("passed over", |history| {
        at_step(history, 3, |step| step.places.get_mut(&ShardId(2)).unwrap().next.0 += story::HOUR_NS);
    }));
}

#[test]
fn a_commit_that_counts_though_its_member_was_fenced_is_seen() {
    assert!(groups_object("fenced", |history| at_step(history, 3, |step| step.commits = Some((70, 2)))));
    assert!(groups_object("fenced", |history| at_step(history, 3, |step| step.commits = Some((71, 1)))));
    assert!(groups_object("fenced", |history| at_step(history, 3, |step| step.commits = None)));
}

#[test]
fn a_group_that_moves_back_is_seen() {
    assert!(groups_object("moves back", |history| {
        at_step(history, 3, |step| step.places.get_mut(&ShardId(1)).unwrap().next = Timestamp(7));
    }));
}

#[test]
fn two_owners_of_one_generation_and_two_folds_of_one_record_are_seen() {
    assert!(groups_object("two owners", |history| {
        at_step(history, 2, |step| step.places.get_mut(&ShardId(2)).unwrap().since = 1);
    }));
    assert!(groups_object("two nodes", |history| {
        history.group_steps.last_mut().unwrap().places.get_mut(&ShardId(2)).unwrap().next.0 += 1;
    }));
}

#[test]
fn a_record_handed_out_again_is_seen_if_it_was_committed_or_its_reader_never_left() {
    let again = |member: u64, generation: u64| {
        move |history: &mut History| {
            let first = *history.group_reads.iter().find(|read| read.shard == ShardId(2)).unwrap();
            history.group_reads.push(GroupRead { member, generation, ..first });
        }
    };
    assert!(groups_object("committed before", again(71, 2)));
    assert!(groups_object("never given", again(71, 1)));
    assert!(groups_object("not behind", again(70, 1)));
}

#[test]
fn what_lies_behind_the_last_commit_may_be_handed_out_again() {
    assert!(!objects(Checker::Groups, |history| {
        let uncommitted = Timestamp(history.group_steps.last().unwrap().places[&ShardId(2)].next.0);
        let (shard, at_ns) = (ShardId(2), uncommitted.0 + story::HOUR_NS);
        let read =
            |member, generation| GroupRead { member, generation, shard, timestamp: uncommitted, at_ns };
        let mut last = history.group_steps.last().unwrap().clone();
        last.offset = Offset(4);
        let given = last.places.get_mut(&shard).unwrap();
        (given.owner, given.since, last.commits) = (Some(70), 3, None);
        history.group_steps.push(last);
        history.group_reads.extend([read(71, 2), read(70, 3)]);
    }));
}

#[test]
fn positions_out_of_order_or_moving_back_are_seen() {
    assert!(objects(Checker::Positions, |history| history.positions[2].released.0 += 1_000));
    assert!(objects(Checker::Positions, |history| history.positions[2].synced.0 += 1_000));
    assert!(objects(Checker::Positions, |history| history.positions.swap(0, 20)));
}

#[test]
fn a_durable_end_that_falls_after_a_restart_is_seen_unless_the_disk_was_damaged() {
    let fall = |history: &mut History| {
        let last = history.positions.last_mut().unwrap();
        last.life += 1;
        (last.appended, last.committed) = (Offset(0), Offset(0));
        (last.synced, last.released) = (Offset(0), Offset(0));
    };
    assert!(objects(Checker::Durable, fall));
    assert!(!objects(Checker::Durable, |history| {
        fall(history);
        history.damaged.insert(history.positions.last().unwrap().node);
    }));
}

#[test]
fn two_leaders_of_one_term_and_a_broken_bound_are_seen() {
    assert!(objects(Checker::Leaders, |history| {
        let (shard, term) = (ShardId(1), Term(1));
        history.leaders.push(Leading { shard, term, node: NodeId(3) });
    }));
    assert!(objects(Checker::Bounds, |history| {
        history.loads.push(Load { what: "unanswered appends", found: 65, max: 64 });
    }));
}

/// The history of logs that all begin at the fourth entry of shard 1, told long after.
fn trimmed(history: &mut History, at_ns: u64) {
    let kept_from = history.logs[0].entries[3].stamp.offset;
    for log in history.logs.iter_mut().filter(|log| log.shard == ShardId(1)) {
        log.entries.drain(..3);
        log.kept_from = kept_from;
    }
    let last = *history.positions.iter().rfind(|p| p.shard == ShardId(1)).unwrap();
    history.positions.push(Positions { trimmed: kept_from, at_ns, ..last });
}

#[test]
fn what_was_trimmed_in_time_is_missed_by_nobody() {
    let in_time = |history: &mut History| trimmed(history, u64::MAX);
    assert_eq!(objection(in_time), None);
}

#[test]
fn a_record_trimmed_before_its_time_and_one_lost_behind_the_start_are_seen() {
    assert!(objects(Checker::Retention, |history| {
        let just_written = history.logs[0].entries[2].stamp.timestamp.0;
        trimmed(history, just_written + 1_000);
    }));
    assert!(objects(Checker::Acknowledged, |history| {
        trimmed(history, u64::MAX);
        history.logs[0].entries.drain(..2);
    }));
}

#[test]
fn a_reader_of_everything_that_begins_behind_the_first_record_kept_is_seen() {
    assert!(objects(Checker::Begins, |history| {
        let at = history.shown.iter().position(|shown| shown.shard == ShardId(1)).unwrap();
        history.shown.remove(at);
    }));
    assert!(objects(Checker::Merged, |history| {
        let stream = &mut history.merged[0];
        let first = stream.records.iter().find(|record| record.shard == ShardId(1)).unwrap();
        stream.kept_from.insert(ShardId(1), first.offset.plus(1));
    }));
}
