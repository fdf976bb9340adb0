//! Restricts a plan to the jobs of one chunk, for the worker of the chunk.

use std::collections::BTreeSet;

use petgraph::{Direction, algo::toposort, graph::NodeIndex};

use crate::{
    ledger::Job,
    plan::{
        Node, Plan,
        freshness::{Freshness, FreshnessOf},
    },
};

/// Leaves out all jobs but those of a chunk. Returns the jobs of the chunk that are left out too, because they wait for
/// others that are.
pub fn restrict(chunk: &BTreeSet<Job>, freshness: &mut FreshnessOf, plan: &Plan) -> Vec<Job> {
    // The graph of a plan has no cycle.
    let order = toposort(&plan.graph, None).unwrap_or_default();
    let mut left_out = BTreeSet::new();
    for index in order {
        let Node::Job(job) = plan.graph[index] else {
            continue;
        };
        let has_to_run = matches!(freshness.get(&job), Some(Freshness::Stale(_)));
        let waits = || waits_for(index, plan).any(|before| left_out.contains(&before));
        if has_to_run && (!chunk.contains(&job) || waits()) {
            left_out.insert(job);
        }
    }
    for &job in &left_out {
        freshness.insert(job, Freshness::NotNeeded);
    }
    left_out.intersection(chunk).copied().collect()
}

fn waits_for(index: NodeIndex, plan: &Plan) -> impl Iterator<Item = Job> {
    let before = plan.graph.neighbors_directed(index, Direction::Incoming);
    before.filter_map(|before| match plan.graph[before] {
        Node::Job(job) => Some(job),
        Node::Select(_) | Node::Report => None,
    })
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
