//! From a checked sweep to a graph of jobs, each with the reason why it has to run or not.
//!
//! [`expand`] multiplies methods, axis values, seeds and folds into members of the table, each with the
//! recipe of its run; equal recipes are one run. [`recall`] takes from finished runs what their ids
//! contain and is no longer at hand. [`study`] grows the plan: by trials, and by the
//! repetitions of the best trial. [`graph`] orders the jobs of all runs, [`freshness`] compares them
//! with the contents of `results/`, [`integrity`] finds damaged files, [`naming`] names jobs for people. [`difference`] finds in what two
//! runs differ, [`same_functions`] finds rows that amount to the same, [`forecast`] estimates the cost of the remaining jobs, and [`picture`] draws the graph. [`per_recipe`] computes once what does not depend on seeds. [`agenda`] tells the
//! scheduler what each job takes and in which order to do them.

pub mod agenda;
pub mod costs;
pub mod difference;
mod expand;
pub mod forecast;
pub mod freshness;
mod graph;
pub mod integrity;
pub mod memory;
mod naming;
mod past;
mod per_recipe;
pub mod picture;
mod recall;
mod same_functions;
pub mod study;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

pub(crate) use graph::jobs_before;
pub use graph::{Graph, Node};
pub(crate) use per_recipe::PerRecipe;
use rayon::prelude::*;
pub use recall::{Arithmetic, RecallError, in_words};
use report::{Setting, Titles};
pub use same_functions::SameFunction;
use schema::{
    Backbone, Cache, DataId, Dataset, EnsembleId, Fingerprint, Fold, Identity, Numerics, Recipe,
    RunId, StoredImages, StudyId, Weights, canonical_json,
};
pub use study::{Growth, Study, StudyState, Trial};

use crate::{
    config::{Baseline, Counts, Point, Sweep, canonical_value},
    ledger::{
        Job, Ledger, LedgerError, Scope,
        fingerprint::{self, FingerprintError},
        weights::{self, WeightsError},
    },
    visits::VisitedMap,
};
use expand::{Cell, Seeded};

/// All that a sweep leads to.
#[derive(Debug)]
pub struct Plan {
    /// One for each method, combination of axis values, seed and fold, in the order of the table.
    pub members: Vec<Member>,
    /// The distinct runs behind them.
    pub runs: VisitedMap<RunId, PlannedRun>,
    /// The prepared data sets that they need.
    pub data: BTreeMap<DataId, PlannedData>,
    /// The titles of the data sets.
    pub titles: Titles,
    /// The runs of all folds of one cell and seed, to be measured together.
    pub ensembles: BTreeMap<EnsembleId, PlannedEnsemble>,
    /// The searches for the members whose values are not all fixed.
    pub studies: Vec<Study>,
    /// The positions of the studies that have a run among their trials.
    studies_of: VisitedMap<RunId, BTreeSet<usize>>,
    /// The position of each study.
    places: BTreeMap<StudyId, usize>,
    /// Made when it is first asked for.
    graph: OnceLock<Graph>,
    /// Missing data sets and weights. The ids of runs with them are not final.
    pub missing: Vec<String>,
    /// Data sets and weights that are not at hand, but known from finished runs.
    pub recalled: Vec<String>,
    /// The kind of arithmetic.
    pub numerics: Numerics,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A data set cannot be read.
    #[error(transparent)]
    Data(#[from] FingerprintError),
    /// Weights are of another backbone, or their manifest cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A result that a search depends on is damaged.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The results leave it open which runs are meant.
    #[error(transparent)]
    Recall(#[from] RecallError),
}

/// One repetition of one cell of the table.
#[derive(Clone, Debug)]
pub struct Member {
    /// The name of the method, unique in the sweep.
    pub method: String,
    /// The data set.
    pub dataset: Dataset,
    /// The values of further axes.
    pub settings: Vec<Setting>,
    /// Which repetition of its search selected its values, from 0, if the search is repeated.
    pub repeat: Option<usize>,
    /// The seed.
    pub seed: u64,
    /// The held-out fold.
    pub fold: Option<Fold>,
    /// The number of its label map, if it is one of several networks that are one result.
    pub map: Option<u32>,
    /// The run whose result it is.
    pub run: RunId,
    /// The priority of the method.
    pub priority: i32,
    /// What each of its jobs takes of countable resources.
    pub needs: Counts,
}

/// A row of the table as data: what its members have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowId {
    /// The canonical value of the data set.
    dataset: String,
    method: String,
    settings: Vec<Setting>,
}

impl Member {
    /// True if both are of one cell and seed: other folds or label maps of it.
    fn is_beside(&self, other: &Member) -> bool {
        self.seed == other.seed && self.is_in_row_of(other)
    }

    /// True if all that makes a row is written alike in both. Two members of one row may also be written differently.
    fn is_in_row_of(&self, other: &Member) -> bool {
        self.settings == other.settings && self.has_method_of(other)
    }

    /// True if both have the same method on the same data set.
    fn has_method_of(&self, other: &Member) -> bool {
        self.method == other.method && self.dataset == other.dataset
    }

    /// The row to which it belongs.
    pub fn row(&self) -> RowId {
        RowId::new(&self.dataset, &self.method, &self.settings)
    }

    /// The method on the data set, whatever the axis values.
    pub(crate) fn method_on_data(&self) -> RowId {
        RowId::new(&self.dataset, &self.method, &[])
    }
}

impl RowId {
    /// Values of axes are the same however they are written: `1e-3` and `0.001`.
    pub(crate) fn new(dataset: &Dataset, method: &str, settings: &[Setting]) -> RowId {
        let settings = settings.iter().map(|setting| Setting {
            axis: setting.axis.clone(),
            value: canonical_value(&setting.value),
        });
        RowId {
            dataset: canonical_json(dataset),
            method: method.to_owned(),
            settings: settings.collect(),
        }
    }
}

/// A run and where its images come from.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// Everything that its id is the hash of, with the seed 0: runs that differ in their seeds alone share it.
    pub unseeded: Arc<Identity>,
    /// Its seed.
    pub seed: u64,
    /// The prepared data set.
    pub data: DataId,
    /// The file of the weights from which it starts, if any.
    pub weights: Option<PathBuf>,
    /// The position of the first member whose result it is; none if it belongs to a trial only.
    pub member: Option<usize>,
    /// The first row of the table that depends on it, by the position of a member.
    pub(crate) row: usize,
    /// The highest priority of the methods that need it.
    pub(crate) priority: i32,
    /// What each of its jobs takes of countable resources.
    pub(crate) needs: Counts,
}

impl PlannedRun {
    /// A run that nothing needs yet.
    fn new(Seeded { unseeded, seed }: Seeded, inputs: &RunInputs) -> PlannedRun {
        let starts = unseeded.recipe.model.backbone.weights().is_some();
        PlannedRun {
            unseeded,
            seed,
            data: inputs.data,
            weights: inputs.file.clone().filter(|_| starts),
            member: None,
            row: usize::MAX,
            priority: i32::MIN,
            needs: Counts::default(),
        }
    }

    /// Returns everything that its id is the hash of.
    pub fn identity(&self) -> Identity {
        self.unseeded.with_seed(self.seed)
    }

    /// Returns what its trainer is asked for.
    pub fn recipe(&self) -> Recipe {
        self.identity().recipe
    }

    /// Notes that the row of a member needs it.
    fn serve(&mut self, row: usize, member: &Member) {
        self.row = self.row.min(row);
        self.priority = self.priority.max(member.priority);
        self.needs.raise(&member.needs);
    }

    /// Notes that it is the result of a member.
    fn be_result_of(&mut self, member: usize) {
        self.member = Some(self.member.map_or(member, |first| first.min(member)));
    }
}

/// The runs of all folds, or of all label maps, of one cell and seed.
#[derive(Clone, Debug)]
pub struct PlannedEnsemble {
    /// Its runs, by fold or by map.
    pub runs: Vec<RunId>,
    /// The positions of the members with the first fold or map whose ensemble it is: at least one.
    pub members: BTreeSet<usize>,
}

/// A data set to prepare.
#[derive(Clone, Debug)]
pub struct PlannedData {
    /// The data set.
    pub dataset: Dataset,
    /// How its images are stored.
    pub images: StoredImages,
    /// Where decoded images are cached.
    pub cache: Cache,
    /// What preparing it takes of countable resources.
    pub needs: Counts,
    /// The hash of its content.
    pub fingerprint: Fingerprint,
    /// Its folder; none for one that the program draws itself.
    pub source: Option<PathBuf>,
}

impl Plan {
    /// Updates in the ledger where the images of data sets are that are not kept in the results.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn place_images(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        for (&data, planned) in &self.data {
            if let Some(source) = &planned.source {
                ledger.place_images(data, source)?;
            }
        }
        Ok(())
    }

    /// Plans a sweep for one kind of arithmetic. Missing data sets and weights are noted, not an error.
    ///
    /// # Errors
    /// A data set cannot be read, or weights are of another backbone.
    pub fn new(sweep: &Sweep, ledger: &Ledger, numerics: Numerics) -> Result<Plan, PlanError> {
        Plan::with(sweep, ledger, Arithmetic::Here(numerics))
    }

    /// Plans a sweep for the kind of arithmetic of its results, or for that of this machine.
    ///
    /// # Errors
    /// As [`new`](Self::new), or the results leave it open which runs are meant.
    pub fn with(
        sweep: &Sweep,
        ledger: &Ledger,
        arithmetic: Arithmetic<'_>,
    ) -> Result<Plan, PlanError> {
        let mut inputs = Inputs::default();
        let rows = inputs.rows(sweep, ledger)?;
        let numerics = recall::complete(&mut inputs, &rows, sweep, ledger, arithmetic)?;
        let mut plan = Plan {
            members: Vec::new(),
            runs: VisitedMap::default(),
            data: BTreeMap::new(),
            titles: Titles::of(sweep.points.iter().map(|point| &point.dataset)),
            ensembles: BTreeMap::new(),
            studies: Vec::new(),
            studies_of: VisitedMap::default(),
            places: BTreeMap::new(),
            graph: OnceLock::new(),
            missing: Vec::new(),
            recalled: Vec::new(),
            numerics,
        };
        inputs.note_absent(&mut plan)?;
        let expanded: Vec<Expanded> = rows
            .par_iter()
            .map(|row| row.expand(sweep, &inputs, numerics))
            .collect();
        for (row, expanded) in rows.iter().zip(expanded) {
            plan.add_row(row, expanded, &inputs);
        }
        let data = inputs
            .data
            .into_iter()
            .map(|data| (data.id(), data.planned));
        plan.data = data.collect();
        plan.begin(sweep, ledger)?;
        Ok(plan)
    }

    /// Returns the prepared data sets that a job reads. To prepare one, it reads files of the data set, which are hashed
    /// for the ids of runs.
    pub fn data_of(&self, job: Job) -> BTreeSet<DataId> {
        let data_of = |run: &RunId| self.runs[run].data;
        match job {
            Job::Prepare(_) => BTreeSet::new(),
            Job::Train(run) | Job::Evaluate(run) => BTreeSet::from([data_of(&run)]),
            Job::Ensemble(id) => self.ensembles[&id].runs.iter().map(data_of).collect(),
        }
    }

    /// Returns what a job takes of countable resources.
    pub fn needs_of(&self, job: Job) -> Counts {
        let mut needs = Counts::default();
        match job {
            Job::Prepare(data) => {
                if let Some(planned) = self.data.get(&data) {
                    needs.raise(&planned.needs);
                }
            }
            Job::Train(run) | Job::Evaluate(run) => {
                if let Some(planned) = self.runs.get(&run) {
                    needs.raise(&planned.needs);
                }
            }
            Job::Ensemble(id) => {
                let members = self.ensembles.get(&id).map(|ensemble| &ensemble.members);
                for &member in members.into_iter().flatten() {
                    needs.raise(&self.members[member].needs);
                }
            }
        }
        needs
    }

    /// Returns jobs, with an edge from each to those that wait for it.
    pub fn graph(&self) -> &Graph {
        self.graph.get_or_init(|| graph::of(self))
    }

    /// All jobs that are processes.
    pub fn jobs(&self) -> impl Iterator<Item = Job> {
        let prepare = self.data.keys().map(|&data| Job::Prepare(data));
        let of_runs = self.runs.iter().flat_map(|(&run, planned)| {
            // A trial is only validated.
            let evaluate = planned.member.map(|_| Job::Evaluate(run));
            [Job::Train(run)].into_iter().chain(evaluate)
        });
        let ensembles = self.ensembles.keys().map(|&id| Job::Ensemble(id));
        prepare.chain(of_runs).chain(ensembles)
    }

    /// True if it has a job.
    pub fn has(&self, job: Job) -> bool {
        match job {
            Job::Prepare(data) => self.data.contains_key(&data),
            Job::Train(run) => self.runs.contains_key(&run),
            // A trial is only validated.
            Job::Evaluate(run) => self.member_of(run).is_some(),
            Job::Ensemble(id) => self.ensembles.contains_key(&id),
        }
    }

    /// The results that belong to the plan.
    pub fn scope(&self) -> Scope {
        Scope {
            data: self.data.keys().copied().collect(),
            runs: self.runs.keys().copied().collect(),
            ensembles: self.ensembles.keys().copied().collect(),
            studies: self.studies.iter().map(|study| study.id).collect(),
        }
    }

    /// Adds the members of a row, and their runs as far as they are known.
    fn add_row(&mut self, row: &SweepRow, expanded: Expanded, inputs: &Inputs) {
        let first = self.members.len();
        match expanded {
            Expanded::Fixed(members) => {
                let inputs = inputs.of_runs(row.inputs);
                for (member, seeded) in members {
                    self.add_member(member, seeded, &inputs);
                }
            }
            Expanded::Searched(members, study) => {
                self.members.extend(members);
                let members = first..self.members.len();
                let position = self.studies.len();
                self.places.entry(study.id).or_insert(position);
                self.studies
                    .push(study.placed(position, row.point, row.method, members));
            }
        }
    }

    fn add_member(&mut self, member: Member, seeded: Seeded, inputs: &RunInputs) {
        let position = self.members.len();
        let planned = self.runs.entry(member.run);
        let planned = planned.or_insert_with(|| PlannedRun::new(seeded, inputs));
        planned.serve(position, &member);
        planned.be_result_of(position);
        self.members.push(member);
    }

    /// Takes the graph out, to be put back with what follows.
    fn take_graph(&mut self) -> Graph {
        self.graph.take().unwrap_or_else(|| graph::of(self))
    }

    /// Adds what follows from new runs and selected members to a graph that lacks them.
    fn link_new(&mut self, mut graph: Graph, growth: &mut Growth) {
        let known = graph.node_count();
        for &(study, run) in &growth.trials {
            graph::add_run(&mut graph, run, self);
            graph::add_trial(&mut graph, run, &self.studies[study]);
        }
        for &study in &growth.over {
            let members = self.studies[study].members.clone();
            for place in members.clone() {
                let run = self.members[place].run;
                if self.runs.contains_key(&run) {
                    graph::add_run(&mut graph, run, self);
                }
            }
            for id in self.add_ensembles(members) {
                graph::add_ensemble(&mut graph, id, self);
            }
            graph::add_selected(&mut graph, &self.studies[study], self);
        }
        growth.jobs = graph.nodes().skip(known).filter_map(Node::job).collect();
        self.graph = graph.into();
    }

    /// Adds the ensembles of these members, in which the folds and label maps of one cell and seed follow each other, and
    /// returns their ids. There is none for runs that are the same in every fold, nor for those that are not selected yet.
    fn add_ensembles(&mut self, members: Range<usize>) -> BTreeSet<EnsembleId> {
        let mut ids = BTreeSet::new();
        let mut next = members.start;
        for of_seed in self.members[members].chunk_by(Member::is_beside) {
            let position = next;
            next += of_seed.len();
            if of_seed.windows(2).all(|pair| pair[0].run == pair[1].run) {
                continue;
            }
            let runs: Vec<RunId> = of_seed.iter().map(|member| member.run).collect();
            if !runs.iter().all(|run| self.runs.contains_key(run)) {
                continue;
            }
            let id = EnsembleId::of(&runs);
            let planned = self.ensembles.entry(id).or_insert_with(|| PlannedEnsemble {
                runs,
                members: BTreeSet::new(),
            });
            planned.members.insert(position);
            ids.insert(id);
        }
        ids
    }

    /// The first member whose result a run is.
    pub fn member_of(&self, run: RunId) -> Option<&Member> {
        self.members.get(self.runs.get(&run)?.member?)
    }

    /// Returns the members of each row, those that follow each other in the table.
    pub(crate) fn members_of_rows(&self) -> impl Iterator<Item = &[Member]> {
        self.members.chunk_by(Member::is_in_row_of)
    }

    /// Returns for each member the position of the first one of its method on its data set.
    pub(crate) fn methods_of_members(&self) -> Vec<usize> {
        let mut firsts = BTreeMap::new();
        let mut methods = Vec::with_capacity(self.members.len());
        for alike in self.members.chunk_by(Member::has_method_of) {
            let first = *firsts
                .entry(alike[0].method_on_data())
                .or_insert(methods.len());
            methods.resize(methods.len() + alike.len(), first);
        }
        methods
    }

    /// The study with an id.
    pub(crate) fn study(&self, id: StudyId) -> Option<&Study> {
        self.studies.get(*self.places.get(&id)?)
    }

    /// The first trial to which a run belongs: its study, and its position.
    pub fn trial_of(&self, run: RunId) -> Option<(&Study, usize)> {
        let first = *self.studies_of.get(&run)?.first()?;
        let study = &self.studies[first];
        let mut trials = study.trials.iter();
        let trial = trials.position(|trial| trial.runs.contains(&run))?;
        Some((study, trial))
    }

    /// The study of a member whose values are searched.
    pub fn study_of(&self, member: usize) -> Option<&Study> {
        self.studies
            .iter()
            .find(|study| study.members.contains(&member))
    }
}

/// A row of the sweep, by the positions of its point and its method; one for each repetition of its search.
struct SweepRow {
    point: usize,
    method: usize,
    repeat: Option<usize>,
    inputs: InputIndex,
}

/// The members of one row.
enum Expanded {
    Fixed(Vec<(Member, Seeded)>),
    Searched(Vec<Member>, Box<Study>),
}

impl SweepRow {
    fn expand(&self, sweep: &Sweep, inputs: &Inputs, numerics: Numerics) -> Expanded {
        let data = &inputs.data[self.inputs.data].planned.fingerprint;
        let weights = inputs.weights[self.inputs.weights].weights.as_ref();
        let cell = self.cell(sweep, data, weights, numerics);
        match Study::new(&cell, inputs.of_runs(self.inputs)) {
            Some(study) => Expanded::Searched(cell.undecided(study.id), Box::new(study)),
            None => Expanded::Fixed(cell.members(&cell.method.table, &cell.point.training)),
        }
    }

    fn cell<'c>(
        &self,
        sweep: &'c Sweep,
        data: &'c Fingerprint,
        weights: Option<&'c Weights>,
        numerics: Numerics,
    ) -> Cell<'c> {
        let point = &sweep.points[self.point];
        Cell {
            sweep,
            point,
            method: &point.methods[self.method],
            repeat: self.repeat,
            data,
            weights,
            numerics,
        }
    }

    /// True if its runs start from the weights of the backbone, if there are some.
    fn starts_from_weights(&self, sweep: &Sweep) -> bool {
        let method = &sweep.points[self.point].methods[self.method];
        method.table.baseline != Some(Baseline::Pixels)
    }
}

/// The files that runs read, each looked up once for all points that need it.
#[derive(Default)]
struct Inputs {
    data: Vec<DataInput>,
    weights: Vec<StartWeights>,
}

/// A data set, and why it is not at hand.
struct DataInput {
    planned: PlannedData,
    absence: Option<Absence<FingerprintError>>,
}

/// The weights from which a backbone starts, and why they are not at hand.
struct StartWeights {
    backbone: Backbone,
    file: Option<PathBuf>,
    weights: Option<Weights>,
    absence: Option<Absence<WeightsError>>,
}

/// Why an input is not at hand.
struct Absence<E> {
    error: E,
    /// True if finished runs tell what it was.
    is_recalled: bool,
}

/// The inputs of a point, by position.
#[derive(Clone, Copy)]
struct InputIndex {
    data: usize,
    weights: usize,
}

/// The inputs of the runs of one row.
#[derive(Clone, Debug)]
struct RunInputs {
    data: DataId,
    /// The file of the weights.
    file: Option<PathBuf>,
    weights: Option<Weights>,
}

impl Inputs {
    /// All rows of a sweep, with their inputs looked up.
    fn rows(&mut self, sweep: &Sweep, ledger: &Ledger) -> Result<Vec<SweepRow>, PlanError> {
        let mut rows = Vec::new();
        for (point, settings) in sweep.points.iter().enumerate() {
            let inputs = self.of(settings, sweep, ledger)?;
            for (method, of) in settings.methods.iter().enumerate() {
                rows.extend(of.repeats().map(|repeat| SweepRow {
                    point,
                    method,
                    repeat,
                    inputs,
                }));
            }
        }
        Ok(rows)
    }

    fn of(
        &mut self,
        point: &Point,
        sweep: &Sweep,
        ledger: &Ledger,
    ) -> Result<InputIndex, PlanError> {
        let known = |known: &DataInput| known.planned.is_of(point);
        let data = self.data.iter().position(known).unwrap_or_else(|| {
            self.data.push(DataInput::of(point, sweep, ledger));
            self.data.len() - 1
        });
        self.data[data].planned.needs.raise(&point.needs);
        let backbone = &point.model.backbone;
        let known = |known: &StartWeights| known.backbone == *backbone;
        let weights = match self.weights.iter().position(known) {
            Some(position) => position,
            None => {
                let root = &sweep.resources.weights;
                self.weights.push(StartWeights::of(root, backbone)?);
                self.weights.len() - 1
            }
        };
        Ok(InputIndex { data, weights })
    }

    fn of_runs(&self, index: InputIndex) -> RunInputs {
        let start = &self.weights[index.weights];
        RunInputs {
            data: self.data[index.data].id(),
            file: start.file.clone(),
            weights: start.weights.clone(),
        }
    }

    /// Notes the inputs that are not at hand.
    ///
    /// # Errors
    /// A data set is there and cannot be read, and no finished run tells what it was.
    fn note_absent(&mut self, plan: &mut Plan) -> Result<(), PlanError> {
        for absence in self.data.iter_mut().filter_map(|data| data.absence.take()) {
            match absence.error {
                error if absence.is_recalled => note(&mut plan.recalled, &error),
                error @ FingerprintError::Missing { .. } => note(&mut plan.missing, &error),
                error => return Err(error.into()),
            }
        }
        for absence in self
            .weights
            .iter_mut()
            .filter_map(|start| start.absence.take())
        {
            let list = match absence.is_recalled {
                true => &mut plan.recalled,
                false => &mut plan.missing,
            };
            note(list, &absence.error);
        }
        Ok(())
    }
}

impl DataInput {
    fn of(point: &Point, sweep: &Sweep, ledger: &Ledger) -> DataInput {
        let located = fingerprint::locate(ledger, &point.dataset, &sweep.data_root);
        let (source, fingerprint, absence) = match located {
            Ok(located) => (located.source, located.fingerprint, None),
            Err(error) => (None, Fingerprint::missing(), Some(Absence::of(error))),
        };
        let planned = PlannedData {
            dataset: point.dataset.clone(),
            images: point.images,
            cache: point.cache,
            needs: point.needs.clone(),
            fingerprint,
            source,
        };
        DataInput { planned, absence }
    }

    fn id(&self) -> DataId {
        let data = &self.planned;
        DataId::of(&data.dataset, &data.images, &data.fingerprint)
    }
}

impl PlannedData {
    fn is_of(&self, point: &Point) -> bool {
        self.dataset == point.dataset && self.images == point.images && self.cache == point.cache
    }
}

impl StartWeights {
    /// The file and the hash of the weights from which a backbone starts, if any.
    fn of(root: &Path, backbone: &Backbone) -> Result<StartWeights, WeightsError> {
        let (file, weights, absence) = match weights::locate(root, backbone) {
            Ok(located) => {
                let (file, weights) = located.unzip();
                (file, weights, None)
            }
            Err(error @ WeightsError::Missing { .. }) => {
                (None, Some(Weights::missing()), Some(Absence::of(error)))
            }
            Err(error) => return Err(error),
        };
        Ok(StartWeights {
            backbone: backbone.clone(),
            file,
            weights,
            absence,
        })
    }
}

impl<E> Absence<E> {
    fn of(error: E) -> Absence<E> {
        Absence {
            error,
            is_recalled: false,
        }
    }
}

/// Adds a message once.
fn note(messages: &mut Vec<String>, error: &impl ToString) {
    let message = error.to_string();
    if !messages.contains(&message) {
        messages.push(message);
    }
}

#[cfg(test)]
mod ids_tests;
#[cfg(test)]
pub(crate) mod tests;
