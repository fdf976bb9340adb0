//! The plan for programs, written as it goes: a hundred thousand runs make a long text.

use std::collections::BTreeMap;

use report::Setting;
use schema::{DataId, Fold, Identity, RunId};
use serde::{Serialize, Serializer, ser::SerializeSeq};

use crate::{
    cli::Opened,
    ledger::Job,
    plan::{
        Member, Plan,
        forecast::Forecast,
        freshness::{Freshness, FreshnessOf, Reason},
        memory::{self, MemoryOfRun},
    },
};

/// The version of the JSON object. In version 1, reasons were sentences.
const VERSION: u32 = 2;

/// Everything there is to know of a plan.
#[derive(Serialize)]
pub(super) struct Whole<'p> {
    version: u32,
    sweep: &'p str,
    missing: &'p [String],
    members: Vec<MemberAt<'p>>,
    runs: BTreeMap<String, RunJson>,
    jobs: Vec<JobAt<'p>>,
    #[serde(serialize_with = "order")]
    order: &'p Plan,
    forecast: &'p Forecast,
    memory: MemoryOfRun,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    origins: Vec<[String; 3]>,
}

/// A member of the table.
#[derive(Serialize)]
struct MemberAt<'p> {
    method: &'p str,
    /// The title of the data set.
    dataset: &'p str,
    settings: &'p [Setting],
    /// Which repetition of its search selected its values, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat: Option<usize>,
    seed: u64,
    fold: Option<Fold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<u32>,
    run: RunId,
    priority: i32,
}

#[derive(Serialize)]
struct RunJson {
    data: DataId,
    made_of: Identity,
}

#[derive(Serialize)]
struct JobAt<'p> {
    job: Job,
    todo: bool,
    state: JobState,
    /// Why it has to run, if it has to.
    reason: Option<&'p Reason>,
}

/// Whether a job has to run.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum JobState {
    Todo,
    Done,
    /// It has no result, and nothing needs it.
    NotNeeded,
}

impl<'p> Whole<'p> {
    pub(super) fn of(
        opened: &'p Opened,
        freshness: &'p FreshnessOf,
        forecast: &'p Forecast,
        origins: Vec<[String; 3]>,
    ) -> Whole<'p> {
        let plan = &opened.plan;
        let mut runs = BTreeMap::new();
        for (id, planned) in &plan.runs {
            let run = RunJson {
                data: planned.data,
                made_of: planned.identity(),
            };
            runs.insert(id.to_string(), run);
        }
        let members = plan.members.iter();
        Whole {
            version: VERSION,
            sweep: &opened.sweep.name,
            missing: &plan.missing,
            members: members.map(|member| MemberAt::of(member, plan)).collect(),
            runs,
            jobs: freshness.iter().map(job).collect(),
            order: plan,
            forecast,
            memory: memory::of(plan),
            origins,
        }
    }
}

impl<'p> MemberAt<'p> {
    fn of(member: &'p Member, plan: &'p Plan) -> MemberAt<'p> {
        MemberAt {
            method: &member.method,
            dataset: plan.title_of(member),
            settings: &member.settings,
            repeat: member.repeat,
            seed: member.seed,
            fold: member.fold,
            map: member.map,
            run: member.run,
            priority: member.priority,
        }
    }
}

fn job<'p>((&job, freshness): (&Job, &'p Freshness)) -> JobAt<'p> {
    let (state, reason) = match freshness {
        Freshness::Stale(reason) => (JobState::Todo, Some(reason)),
        Freshness::Fresh => (JobState::Done, None),
        Freshness::NotNeeded => (JobState::NotNeeded, None),
    };
    JobAt {
        job,
        todo: reason.is_some(),
        state,
        reason,
    }
}

/// What comes before what, as pairs.
fn order<S: Serializer>(plan: &&Plan, serializer: S) -> Result<S::Ok, S::Error> {
    let mut pairs = serializer.serialize_seq(Some(plan.graph().edge_count()))?;
    for (before, after, ()) in plan.graph().all_edges() {
        pairs.serialize_element(&[before.to_string(), after.to_string()])?;
    }
    pairs.end()
}
