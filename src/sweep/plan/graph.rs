//! The order of jobs: `prepare -> train -> evaluate -> report`, with an `ensemble` after the `evaluate` jobs
//! of its runs. With searched values: `prepare -> train` of each trial `-> select -> train -> evaluate ->
//! report`.
//!
//! A job waits for everything that it reads. Measuring reads images, so it waits for `prepare` itself, and
//! an ensemble for `prepare` and the `train` jobs too: the jobs between may be there already.

use std::{collections::BTreeSet, fmt};

use petgraph::{Direction, graphmap::DiGraphMap};
use schema::{EnsembleId, RunId, StudyId};

use super::{Plan, Study};
use crate::ledger::Job;

/// A node of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A job for a trainer process.
    Job(Job),
    /// Selects the best trial, within the orchestrator.
    Select(StudyId),
    /// Makes the table, within the orchestrator.
    Report,
}

/// Nodes, with an edge from each to those that wait for it.
pub type Graph = DiGraphMap<Node, ()>;

impl Node {
    /// Returns its job; nothing for what the orchestrator does itself.
    pub fn job(self) -> Option<Job> {
        match self {
            Node::Job(job) => Some(job),
            Node::Select(_) | Node::Report => None,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Job(job) => job.fmt(f),
            Node::Select(study) => write!(f, "select {study}"),
            Node::Report => f.write_str("report"),
        }
    }
}

/// Returns the jobs that a node waits for, as far as they are known: what a search selects is known once it is over.
pub(crate) fn jobs_before(node: Node, graph: &Graph) -> impl Iterator<Item = Job> {
    let before = graph.neighbors_directed(node, Direction::Incoming);
    before.filter_map(Node::job)
}

/// A `prepare` for each data set, a `train` for each run, an `evaluate` for each run of the table, an
/// `ensemble` for each ensemble, a `select` for each study, and one `report`.
pub(super) fn of(plan: &Plan) -> Graph {
    let runs = plan.runs.len();
    let mut graph = Graph::with_capacity(2 * runs, 4 * runs);
    graph.add_node(Node::Report);
    for &run in plan.runs.keys() {
        add_run(&mut graph, run, plan);
    }
    for &id in plan.ensembles.keys() {
        add_ensemble(&mut graph, id, plan);
    }
    for study in &plan.studies {
        graph.add_node(Node::Select(study.id));
        for &run in study.trials.iter().flat_map(|trial| &trial.runs) {
            add_trial(&mut graph, run, study);
        }
        add_selected(&mut graph, study, plan);
    }
    graph
}

/// Adds the jobs of a run.
pub(super) fn add_run(graph: &mut Graph, run: RunId, plan: &Plan) {
    let planned = &plan.runs[&run];
    let prepare = Node::Job(Job::Prepare(planned.data));
    let train = Node::Job(Job::Train(run));
    graph.add_edge(prepare, train, ());
    if planned.member.is_some() {
        let evaluate = Node::Job(Job::Evaluate(run));
        graph.add_edge(prepare, evaluate, ());
        graph.add_edge(train, evaluate, ());
        graph.add_edge(evaluate, Node::Report, ());
    }
}

/// Adds the job of an ensemble, whose runs have theirs.
pub(super) fn add_ensemble(graph: &mut Graph, id: EnsembleId, plan: &Plan) {
    let ensemble = Node::Job(Job::Ensemble(id));
    for &run in &plan.ensembles[&id].runs {
        let prepare = Job::Prepare(plan.runs[&run].data);
        for before in [prepare, Job::Train(run), Job::Evaluate(run)] {
            graph.add_edge(Node::Job(before), ensemble, ());
        }
    }
    graph.add_edge(ensemble, Node::Report, ());
}

/// Lets a study wait for a run of one of its trials.
pub(super) fn add_trial(graph: &mut Graph, run: RunId, study: &Study) {
    let train = Node::Job(Job::Train(run));
    graph.add_edge(train, Node::Select(study.id), ());
}

/// Lets the runs that a study has selected wait for it, or the report, as long as there are none.
pub(super) fn add_selected(graph: &mut Graph, study: &Study, plan: &Plan) {
    let select = Node::Select(study.id);
    let members = plan.members[study.members.clone()].iter();
    let chosen = members.map(|member| member.run);
    let chosen: BTreeSet<RunId> = chosen.filter(|run| plan.runs.contains_key(run)).collect();
    if chosen.is_empty() {
        graph.add_edge(select, Node::Report, ());
        return;
    }
    graph.remove_edge(select, Node::Report);
    for run in chosen {
        graph.add_edge(select, Node::Job(Job::Train(run)), ());
    }
}
