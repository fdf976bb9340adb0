//! The order of jobs: `prepare -> train -> evaluate -> report`, with an `ensemble` after the `evaluate`s of its runs.

use std::{collections::BTreeMap, fmt};

use petgraph::graph::{DiGraph, NodeIndex};
use schema::{EnsembleId, RunId};

use super::{PlannedEnsemble, PlannedRun};
use crate::ledger::Job;

/// A node of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A job for a trainer process.
    Job(Job),
    /// Making the table, which the orchestrator does itself.
    Report,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Job(job) => job.fmt(f),
            Node::Report => f.write_str("report"),
        }
    }
}

/// One `prepare` for each data set, one `train` and one `evaluate` for each run, one `ensemble` for each, one `report`.
pub(super) fn of(
    runs: &BTreeMap<RunId, PlannedRun>,
    ensembles: &BTreeMap<EnsembleId, PlannedEnsemble>,
) -> DiGraph<Node, ()> {
    let mut graph = DiGraph::new();
    let mut evaluates = BTreeMap::new();
    let mut prepares: BTreeMap<_, NodeIndex> = BTreeMap::new();
    let report = graph.add_node(Node::Report);
    for (&run, planned) in runs {
        let data = planned.data;
        let prepare = *prepares.entry(data).or_insert_with(|| graph.add_node(Node::Job(Job::Prepare(data))));
        let train = graph.add_node(Node::Job(Job::Train(run)));
        let evaluate = graph.add_node(Node::Job(Job::Evaluate(run)));
        graph.add_edge(prepare, train, ());
        graph.add_edge(train, evaluate, ());
        graph.add_edge(evaluate, report, ());
        evaluates.insert(run, evaluate);
    }
    for (&id, planned) in ensembles {
        let ensemble = graph.add_node(Node::Job(Job::Ensemble(id)));
        planned.runs.iter().for_each(|run| {
            graph.add_edge(evaluates[run], ensemble, ());
        });
        graph.add_edge(ensemble, report, ());
    }
    graph
}
