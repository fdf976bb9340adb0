//! The graph of jobs as a picture: each job a node, or, where there are many, one node for all jobs of a kind, a data set
//! and a method.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{
    Node, Plan,
    freshness::{Freshness, FreshnessOf},
};
use crate::ledger::Job;

/// More nodes than this are summed up.
const FEW: usize = 40;

/// The language of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Graphviz.
    Dot,
    /// Mermaid, as Markdown on code hosts draws it.
    Mermaid,
}

/// Jobs that share a node.
#[derive(Default)]
struct Jobs {
    all: usize,
    todo: usize,
}

/// Draws the jobs of a plan; those that are to do stand out.
pub fn of(plan: &Plan, freshness: &FreshnessOf, language: Language) -> String {
    let each = plan.graph.node_count() <= FEW;
    let names: Vec<String> = plan
        .graph
        .node_weights()
        .map(|node| name(node, plan, each))
        .collect();
    let mut boxes: BTreeMap<&str, Jobs> = BTreeMap::new();
    for (node, name) in plan.graph.node_weights().zip(&names) {
        let known = boxes.entry(name).or_default();
        known.all += 1;
        known.todo += usize::from(match node {
            Node::Job(job) => matches!(freshness.get(job), Some(Freshness::Stale(_))),
            Node::Select(_) | Node::Report => false,
        });
    }
    let ends = plan
        .graph
        .edge_indices()
        .filter_map(|edge| plan.graph.edge_endpoints(edge));
    let edges: BTreeSet<(&str, &str)> = ends
        .map(|(from, to)| (names[from.index()].as_str(), names[to.index()].as_str()))
        .collect();
    let numbers: BTreeMap<&str, usize> = boxes
        .keys()
        .zip(0..)
        .map(|(name, number)| (*name, number))
        .collect();
    match language {
        Language::Dot => dot(&boxes, &edges, &numbers),
        Language::Mermaid => mermaid(&boxes, &edges, &numbers),
    }
}

/// What is written into a node: the job, or what it has in common with others.
fn name(node: &Node, plan: &Plan, each: bool) -> String {
    let job = match *node {
        Node::Job(job) => job,
        Node::Select(id) => {
            let study = plan.studies.iter().find(|study| study.id == id);
            let member = study.and_then(|study| plan.members.get(study.members.start));
            return member.map_or_else(
                || node.to_string(),
                |member| format!("select {}, {}", member.dataset, member.method),
            );
        }
        Node::Report => return node.to_string(),
    };
    let member = match job {
        Job::Prepare(data) => {
            return format!(
                "prepare {}",
                plan.data.get(&data).map_or("", |data| data.dataset.title())
            );
        }
        Job::Train(run) | Job::Evaluate(run) => plan.member_of(run),
        Job::Ensemble(id) => plan
            .ensembles
            .get(&id)
            .and_then(|planned| plan.members.get(*planned.members.first()?)),
    };
    let Some(member) = member else {
        return of_trial(job, plan);
    };
    let group = format!("{} {}, {}", job.verb(), member.dataset, member.method);
    if !each {
        return group;
    }
    let settings = member
        .settings
        .iter()
        .map(|(axis, value)| format!(", {axis} = {value}"));
    let fold = match (job, member.fold) {
        (Job::Ensemble(_), _) | (_, None) => String::new(),
        (_, Some(fold)) => format!(", fold {} of {}", fold.index + 1, fold.of),
    };
    format!(
        "{group}{}, seed {}{fold}",
        settings.collect::<String>(),
        member.seed
    )
}

/// The trials of a search share a node.
fn of_trial(job: Job, plan: &Plan) -> String {
    let study = match job {
        Job::Train(run) | Job::Evaluate(run) => plan.trial_of(run).map(|(study, _)| study),
        Job::Prepare(_) | Job::Ensemble(_) => None,
    };
    match study.and_then(|study| plan.members.get(study.members.start)) {
        Some(member) => format!(
            "{} trials of {}, {}",
            job.verb(),
            member.dataset,
            member.method
        ),
        None => job.to_string(),
    }
}

/// `3 jobs, 2 to do`, for nodes of several.
fn counts(Jobs { all, todo }: &Jobs) -> Option<String> {
    (*all > 1).then(|| format!("{all} jobs, {todo} to do"))
}

fn dot(
    boxes: &BTreeMap<&str, Jobs>,
    edges: &BTreeSet<(&str, &str)>,
    numbers: &BTreeMap<&str, usize>,
) -> String {
    let mut text = String::from(
        "digraph sweep {\n  rankdir = LR\n  node [shape = box, fontname = \"sans-serif\"]\n",
    );
    for (name, jobs) in boxes {
        let counts = counts(jobs).map_or(String::new(), |counts| format!("\\n{counts}"));
        let style = if jobs.todo > 0 {
            ", style = bold"
        } else {
            ", color = gray"
        };
        let label = name.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(
            text,
            "  n{} [label = \"{label}{counts}\"{style}]",
            numbers[name]
        );
    }
    for (from, to) in edges {
        let _ = writeln!(text, "  n{} -> n{}", numbers[from], numbers[to]);
    }
    text + "}\n"
}

fn mermaid(
    boxes: &BTreeMap<&str, Jobs>,
    edges: &BTreeSet<(&str, &str)>,
    numbers: &BTreeMap<&str, usize>,
) -> String {
    let mut text = String::from("flowchart LR\n");
    for (name, jobs) in boxes {
        let counts = counts(jobs).map_or(String::new(), |counts| format!("<br/>{counts}"));
        let class = if jobs.todo > 0 { ":::todo" } else { "" };
        let label = name.replace('"', "#quot;");
        let _ = writeln!(text, "  n{}[\"{label}{counts}\"]{class}", numbers[name]);
    }
    for (from, to) in edges {
        let _ = writeln!(text, "  n{} --> n{}", numbers[from], numbers[to]);
    }
    text + "  classDef todo stroke-width:3px\n"
}
