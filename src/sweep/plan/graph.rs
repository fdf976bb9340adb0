//! The order of jobs: `prepare -> train -> evaluate -> report`, with an `ensemble` after the `evaluate` jobs
//! of its runs. With searched values: `prepare -> train` of each trial `-> select -> train -> evaluate ->
//! report`.
//!
//! A job waits for everything that it reads. Measuring reads images, so it waits for `prepare` itself, and
//! an ensemble for `prepare` and the `train` jobs too: the jobs between may be there already.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use petgraph::graph::{DiGraph, NodeIndex};
use schema::{RunId, StudyId};

use super::Plan;
use crate::ledger::Job;

/// A node of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A job for a trainer process.
    Job(Job),
    /// Selects the best trial, within the orchestrator.
    Select(StudyId),
    /// Makes the table, within the orchestrator.
    Report,
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

/// A `prepare` for each data set, a `train` for each run, an `evaluate` for each run of the table, an
/// `ensemble` for each ensemble, a `select` for each study, and one `report`.
pub(super) fn of(plan: &Plan) -> DiGraph<Node, ()> {
    let mut graph = DiGraph::new();
    let mut jobs: BTreeMap<Job, NodeIndex> = BTreeMap::new();
    let report = graph.add_node(Node::Report);
    for (&run, planned) in &plan.runs {
        let prepare = Job::Prepare(planned.data);
        let prepare = *jobs
            .entry(prepare)
            .or_insert_with(|| graph.add_node(Node::Job(prepare)));
        let train = graph.add_node(Node::Job(Job::Train(run)));
        jobs.insert(Job::Train(run), train);
        graph.add_edge(prepare, train, ());
        if planned.member.is_some() {
            let evaluate = graph.add_node(Node::Job(Job::Evaluate(run)));
            jobs.insert(Job::Evaluate(run), evaluate);
            graph.add_edge(prepare, evaluate, ());
            graph.add_edge(train, evaluate, ());
            graph.add_edge(evaluate, report, ());
        }
    }
    for (&id, planned) in &plan.ensembles {
        let ensemble = graph.add_node(Node::Job(Job::Ensemble(id)));
        for &run in &planned.runs {
            let prepare = Job::Prepare(plan.runs[&run].data);
            for before in [prepare, Job::Train(run), Job::Evaluate(run)] {
                graph.update_edge(jobs[&before], ensemble, ());
            }
        }
        graph.add_edge(ensemble, report, ());
    }
    for study in &plan.studies {
        let select = graph.add_node(Node::Select(study.id));
        let trials: BTreeSet<RunId> = study
            .trials
            .iter()
            .flat_map(|trial| &trial.runs)
            .copied()
            .collect();
        let chosen = plan.members[study.members.clone()]
            .iter()
            .map(|member| member.run);
        let chosen: BTreeSet<RunId> = chosen.filter(|run| plan.runs.contains_key(run)).collect();
        for run in trials {
            graph.add_edge(jobs[&Job::Train(run)], select, ());
        }
        if chosen.is_empty() {
            graph.add_edge(select, report, ());
        }
        for run in chosen {
            graph.add_edge(select, jobs[&Job::Train(run)], ());
        }
    }
    graph
}
