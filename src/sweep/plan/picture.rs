//! The graph of jobs as a picture: a node for each job or, if there are many, a node for all jobs of a
//! kind, a data set and a method.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use schema::{DataId, StudyId};

use super::{
    Member, Node, Plan, RowId,
    freshness::{Freshness, FreshnessOf},
};
use crate::ledger::{Job, JobKind};

/// More nodes than this are combined.
const FEW: usize = 40;

/// The language of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Graphviz.
    Dot,
    /// Mermaid, as Markdown on code hosts draws it.
    Mermaid,
}

/// What a box of the picture stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum BoxKey {
    Prepare(DataId),
    /// The trials of the search for a method on a data set.
    Trials(RowId),
    Select(StudyId),
    /// One job.
    Job(Job),
    /// All jobs of this kind of a method on a data set.
    Jobs(JobKind, RowId),
    Report,
}

/// A box and the jobs in it.
struct Box {
    label: String,
    number: usize,
    all: usize,
    todo: usize,
}

/// The boxes of a picture and the arrows between them.
struct Picture {
    boxes: BTreeMap<BoxKey, Box>,
    arrows: BTreeSet<(usize, usize)>,
}

/// Draws the jobs of a plan; those that have to run stand out.
pub fn of(plan: &Plan, freshness: &FreshnessOf, language: Language) -> String {
    let picture = Picture::of(plan, freshness);
    match language {
        Language::Dot => picture.dot(),
        Language::Mermaid => picture.mermaid(),
    }
}

impl Picture {
    fn of(plan: &Plan, freshness: &FreshnessOf) -> Picture {
        let each = plan.graph().node_count() <= FEW;
        let nodes = plan.graph().nodes();
        let keys: BTreeMap<Node, BoxKey> =
            nodes.map(|node| (node, key(&node, plan, each))).collect();
        let mut boxes: BTreeMap<BoxKey, Box> = BTreeMap::new();
        for (node, key) in &keys {
            let known = boxes.entry(key.clone()).or_insert_with(|| Box {
                label: label(node, key, plan),
                number: 0,
                all: 0,
                todo: 0,
            });
            known.all += 1;
            known.todo += usize::from(has_to_run(node, freshness));
        }
        for (number, known) in boxes.values_mut().enumerate() {
            known.number = number;
        }
        let mut arrows = BTreeSet::new();
        for (from, to, ()) in plan.graph().all_edges() {
            let [from, to] = [from, to].map(|node| boxes[&keys[&node]].number);
            arrows.insert((from, to));
        }
        Picture { boxes, arrows }
    }

    fn dot(&self) -> String {
        let mut text = String::from(
            "digraph sweep {\n  rankdir = LR\n  node [shape = box, fontname = \"sans-serif\"]\n",
        );
        for known in self.boxes.values() {
            let counts = known
                .counts()
                .map_or(String::new(), |counts| format!("\\n{counts}"));
            let style = if known.todo > 0 {
                ", style = bold"
            } else {
                ", color = gray"
            };
            let label = known.label.replace('\\', "\\\\").replace('"', "\\\"");
            let number = known.number;
            let _ = writeln!(text, "  n{number} [label = \"{label}{counts}\"{style}]");
        }
        for (from, to) in &self.arrows {
            let _ = writeln!(text, "  n{from} -> n{to}");
        }
        text + "}\n"
    }

    fn mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        for known in self.boxes.values() {
            let counts = known
                .counts()
                .map_or(String::new(), |counts| format!("<br/>{counts}"));
            let class = if known.todo > 0 { ":::todo" } else { "" };
            let label = known.label.replace('"', "#quot;");
            let number = known.number;
            let _ = writeln!(text, "  n{number}[\"{label}{counts}\"]{class}");
        }
        for (from, to) in &self.arrows {
            let _ = writeln!(text, "  n{from} --> n{to}");
        }
        text + "  classDef todo stroke-width:3px\n"
    }
}

impl Box {
    /// `3 jobs, 2 to do`, for boxes of several.
    fn counts(&self) -> Option<String> {
        (self.all > 1).then(|| format!("{} jobs, {} to do", self.all, self.todo))
    }
}

fn has_to_run(node: &Node, freshness: &FreshnessOf) -> bool {
    match node {
        Node::Job(job) => matches!(freshness.get(job), Some(Freshness::Stale(_))),
        Node::Select(_) | Node::Report => false,
    }
}

/// The box of a node: its own, or one that it shares with others.
fn key(node: &Node, plan: &Plan, each: bool) -> BoxKey {
    let job = match *node {
        Node::Job(Job::Prepare(data)) => return BoxKey::Prepare(data),
        Node::Job(job) => job,
        Node::Select(study) => return BoxKey::Select(study),
        Node::Report => return BoxKey::Report,
    };
    match member_of(job, plan) {
        Some(_) if each => BoxKey::Job(job),
        Some(member) => BoxKey::Jobs(job.kind(), member.method_on_data()),
        None => match searched_by(job, plan) {
            Some(member) => BoxKey::Trials(member.method_on_data()),
            None => BoxKey::Job(job),
        },
    }
}

/// The text of a box, that of all of its nodes.
fn label(node: &Node, key: &BoxKey, plan: &Plan) -> String {
    let job = match *node {
        Node::Job(job) => job,
        Node::Select(id) => {
            let study = plan.studies.iter().find(|study| study.id == id);
            return match study {
                Some(study) => format!("select {}", plan.name_of_study(study)),
                None => node.to_string(),
            };
        }
        Node::Report => return node.to_string(),
    };
    let of_method = |member: &Member| plan.name_of_method(member);
    let shared = match key {
        BoxKey::Jobs(..) => member_of(job, plan).map(of_method),
        BoxKey::Trials(_) => {
            let name = searched_by(job, plan).map(of_method);
            name.map(|name| format!("trials of {name}"))
        }
        BoxKey::Prepare(_) | BoxKey::Select(_) | BoxKey::Job(_) | BoxKey::Report => None,
    };
    match shared {
        Some(name) => format!("{} {name}", job.verb()),
        None => plan.name_of_job(job),
    }
}

/// The first member whose result a job makes.
fn member_of(job: Job, plan: &Plan) -> Option<&Member> {
    match job {
        Job::Prepare(_) => None,
        Job::Train(run) | Job::Evaluate(run) => plan.member_of(run),
        Job::Ensemble(id) => {
            let first = plan.ensembles.get(&id)?.members.first()?;
            plan.members.get(*first)
        }
    }
}

/// The first member of the row that a trial belongs to.
fn searched_by(job: Job, plan: &Plan) -> Option<&Member> {
    match job {
        Job::Train(run) | Job::Evaluate(run) => {
            let (study, _) = plan.trial_of(run)?;
            plan.members.get(study.members.start)
        }
        Job::Prepare(_) | Job::Ensemble(_) => None,
    }
}
