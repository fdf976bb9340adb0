//! Restricts a plan to the jobs of one chunk, for the worker of the chunk.

use std::collections::BTreeSet;

use petgraph::algo::toposort;

use crate::{
    ledger::Job,
    plan::{
        Plan,
        freshness::{Freshness, FreshnessOf},
        jobs_before,
    },
};

/// Leaves out all jobs but those of a chunk. Returns the jobs of the chunk that are left out too, because they wait for
/// others that are.
pub fn restrict(chunk: &BTreeSet<Job>, freshness: &mut FreshnessOf, plan: &Plan) -> Vec<Job> {
    // The graph of a plan has no cycle.
    let order = toposort(plan.graph(), None).unwrap_or_default();
    let mut left_out = BTreeSet::new();
    for node in order {
        let Some(job) = node.job() else {
            continue;
        };
        let has_to_run = matches!(freshness.get(&job), Some(Freshness::Stale(_)));
        let waits = || jobs_before(node, plan.graph()).any(|before| left_out.contains(&before));
        if has_to_run && (!chunk.contains(&job) || waits()) {
            left_out.insert(job);
        }
    }
    for &job in &left_out {
        freshness.insert(job, Freshness::NotNeeded);
    }
    left_out.intersection(chunk).copied().collect()
}

#[cfg(test)]
mod tests {
    use schema::Numerics;

    use super::*;
    use crate::plan::tests::{Desk, TWO_METHODS};

    fn stale(freshness: &FreshnessOf) -> BTreeSet<Job> {
        let stale = freshness
            .iter()
            .filter(|(_, freshness)| matches!(freshness, Freshness::Stale(_)));
        stale.map(|(&job, _)| job).collect()
    }

    #[test]
    fn a_worker_keeps_to_its_chunk_and_names_what_waits_for_others() {
        let desk = Desk::new(TWO_METHODS, Numerics::Cpu { threads: 1 });
        let (plan, all) = (&desk.plan, desk.freshness());
        let prepare = Job::Prepare(*plan.data.keys().next().unwrap());
        let runs: Vec<_> = plan.members.iter().map(|member| member.run).collect();
        let (train, evaluate) = (Job::Train(runs[0]), Job::Evaluate(runs[0]));

        let mut freshness = all.clone();
        let chunk = BTreeSet::from([prepare, train, evaluate]);
        assert_eq!(restrict(&chunk, &mut freshness, plan), []);
        assert_eq!(stale(&freshness), chunk);

        let mut freshness = all.clone();
        let chunk = BTreeSet::from([prepare, evaluate, Job::Train(runs[1])]);
        assert_eq!(restrict(&chunk, &mut freshness, plan), [evaluate]);
        assert_eq!(
            stale(&freshness),
            BTreeSet::from([prepare, Job::Train(runs[1])])
        );

        let mut freshness = all;
        let chunk = BTreeSet::from([train, evaluate]);
        assert_eq!(restrict(&chunk, &mut freshness, plan), [train, evaluate]);
        assert_eq!(stale(&freshness), BTreeSet::new());
    }
}
