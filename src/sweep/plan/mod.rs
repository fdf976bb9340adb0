//! From a checked sweep to a graph of jobs, each with the reason why it runs or need not.
//!
//! [`expand`] multiplies methods, axis values, seeds and folds into members of the table, each with the recipe
//! of its run; equal recipes are one run. [`study`] makes the plan grow: by trials, and by the repetitions of the best
//! of them. [`graph`] orders the jobs of all runs. [`freshness`] compares them with what lies under `results/`.
//! [`difference`] tells in what two runs differ, [`forecast`] what the rest will cost, and [`picture`] draws it.

pub mod difference;
mod expand;
pub mod forecast;
pub mod freshness;
mod graph;
pub mod picture;
pub mod study;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use petgraph::graph::DiGraph;
use rayon::prelude::*;
use schema::{
    Backbone, Cache, DataId, Dataset, EnsembleId, Fingerprint, Fold, Identity, Numerics, RunId,
    StoredImages, Weights,
};
use serde::Serialize;

pub use graph::Node;
pub use study::{Standing, Study, Trial};

use crate::{
    config::{Method, Point, Sweep},
    ledger::{
        Ledger, LedgerError,
        fingerprint::{self, FingerprintError},
        weights::{self, WeightsError},
    },
};
use expand::Cell;

/// All that a sweep leads to.
#[derive(Debug)]
pub struct Plan {
    /// One for each method, combination of axis values, seed and fold, in the order of the table.
    pub members: Vec<Member>,
    /// The distinct runs behind them.
    pub runs: BTreeMap<RunId, PlannedRun>,
    /// The prepared data sets that they need.
    pub data: BTreeMap<DataId, PlannedData>,
    /// The runs of all folds of one cell and seed, to be measured together.
    pub ensembles: BTreeMap<EnsembleId, PlannedEnsemble>,
    /// The searches for the members whose values are not all fixed.
    pub studies: Vec<Study>,
    /// Jobs, with an edge from each to those that wait for it.
    pub graph: DiGraph<Node, ()>,
    /// Data sets and weights that are not in their place. Runs with them have names that are not final.
    pub missing: Vec<String>,
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
}

/// One repetition of one cell of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// The method's name.
    pub method: String,
    /// The data set's title.
    pub dataset: String,
    /// Further axis values, by name.
    pub settings: Vec<(String, String)>,
    /// The seed.
    pub seed: u64,
    /// The held-out fold.
    pub fold: Option<Fold>,
    /// The run whose result it is.
    pub run: RunId,
}

/// A run and where its images come from.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// All that its name is the hash of.
    pub identity: Box<Identity>,
    /// The prepared data set.
    pub data: DataId,
    /// The file with the weights that it starts from, if it does.
    pub weights: Option<PathBuf>,
    /// The first member of the plan whose result it is, by position; none if it is only a trial's.
    pub member: Option<usize>,
}

/// The runs of all folds of one cell and seed.
#[derive(Clone, Debug)]
pub struct PlannedEnsemble {
    /// Its runs, by fold.
    pub runs: Vec<RunId>,
    /// The members of the plan with the first fold whose ensemble it is, by position: at least one.
    pub members: Vec<usize>,
}

/// A data set to prepare.
#[derive(Clone, Debug)]
pub struct PlannedData {
    /// Which.
    pub dataset: Dataset,
    /// How its images are stored.
    pub images: StoredImages,
    /// Whether decoded images are kept on disk.
    pub cache: Cache,
    /// Its content.
    pub fingerprint: Fingerprint,
    /// Its folder; absent for one that the program draws itself.
    pub source: Option<PathBuf>,
}

impl Plan {
    /// Plans a sweep for one kind of arithmetic. A data set or weights that are missing are noted, not an error.
    ///
    /// # Errors
    /// A data set cannot be read, or weights are of another backbone.
    pub fn new(sweep: &Sweep, ledger: &Ledger, numerics: Numerics) -> Result<Plan, PlanError> {
        let (mut members, mut runs, mut studies, mut missing) =
            (Vec::new(), BTreeMap::new(), Vec::new(), Vec::new());
        let mut given = Given::default();
        let places: Vec<Places> = sweep
            .points
            .iter()
            .map(|point| given.of(point, sweep, ledger, &mut missing))
            .collect::<Result<_, _>>()?;
        let lines =
            sweep
                .points
                .iter()
                .zip(&places)
                .enumerate()
                .flat_map(|(at, (point, places))| {
                    point
                        .methods
                        .iter()
                        .enumerate()
                        .map(move |(place, method)| ((at, place), point, method, places))
                });
        let lines: Vec<((usize, usize), &Point, &Method, &Places)> = lines.collect();
        let expanded = |&(_, point, method, places): &(_, &Point, &Method, &Places)| {
            let cell = given.cell(sweep, point, method, places, numerics);
            match method.search {
                None => (
                    Line::Fixed(cell.members(&method.table, &point.training)),
                    None,
                ),
                Some(_) => {
                    let study = Study::new(&cell, given.of_study(places));
                    (Line::Undecided(cell.undecided(study.id)), Some(study))
                }
            }
        };
        let expanded: Vec<_> = lines.par_iter().map(expanded).collect();
        for ((of_line, study), ((point, method), .., places)) in expanded.into_iter().zip(lines) {
            let (data, file) = (
                given.data[places.data].0,
                &given.weights[places.weights].1.0,
            );
            let first = members.len();
            match of_line {
                Line::Undecided(undecided) => members.extend(undecided),
                Line::Fixed(fixed) => {
                    for (member, identity) in fixed {
                        runs.entry(member.run).or_insert_with(|| {
                            let weights =
                                identity.recipe.model.backbone.weights().and(file.clone());
                            PlannedRun {
                                identity,
                                data,
                                weights,
                                member: Some(members.len()),
                            }
                        });
                        members.push(member);
                    }
                }
            }
            studies.extend(study.map(|study| study.placed(point, method, first..members.len())));
        }
        let (data, ensembles, graph) = (
            given.data.into_iter().collect(),
            BTreeMap::new(),
            DiGraph::new(),
        );
        let mut plan = Plan {
            members,
            runs,
            data,
            ensembles,
            studies,
            graph,
            missing,
            numerics,
        };
        plan.grow(sweep, ledger, None)?;
        Ok(plan)
    }

    /// Brings what follows from members and runs up to date.
    fn link(&mut self, sweep: &Sweep) {
        self.ensembles = ensembles(&self.members, &self.runs, sweep.folds.len());
        self.graph = graph::of(self);
    }

    /// The first repetition of a cell whose result a run is.
    pub fn member_of(&self, run: RunId) -> Option<&Member> {
        self.members.get(self.runs.get(&run)?.member?)
    }

    /// The study and the number of the first trial that a run is of.
    pub fn trial_of(&self, run: RunId) -> Option<(&Study, usize)> {
        let trial = |study: &Study| {
            study
                .trials
                .iter()
                .position(|trial| trial.runs.contains(&run))
        };
        self.studies
            .iter()
            .find_map(|study| Some((study, trial(study)?)))
    }
}

/// The members of one method under one combination of axis values.
enum Line {
    Fixed(Vec<(Member, Box<Identity>)>),
    Undecided(Vec<Member>),
}

/// The ensembles of these members, of which the folds of one cell and seed follow each other. What no fold changes
/// has none, nor what is not selected yet.
fn ensembles(
    members: &[Member],
    planned: &BTreeMap<RunId, PlannedRun>,
    folds: usize,
) -> BTreeMap<EnsembleId, PlannedEnsemble> {
    let mut ensembles = BTreeMap::new();
    for (place, of_folds) in (0..).step_by(folds).zip(members.chunks(folds)) {
        let runs: Vec<RunId> = of_folds.iter().map(|member| member.run).collect();
        let is_decided = runs.iter().all(|run| planned.contains_key(run));
        if is_decided && runs.windows(2).any(|pair| pair[0] != pair[1]) {
            let planned = || PlannedEnsemble {
                runs: runs.clone(),
                members: Vec::new(),
            };
            ensembles
                .entry(EnsembleId::of(&runs))
                .or_insert_with(planned)
                .members
                .push(place);
        }
    }
    ensembles
}

/// The file of weights and their hash.
type Start = (Option<PathBuf>, Option<Weights>);

/// What runs are given from outside, each looked up once however many points need it.
#[derive(Default)]
struct Given {
    data: Vec<(DataId, PlannedData)>,
    weights: Vec<(Backbone, Start)>,
}

/// What a point is given, by position.
struct Places {
    data: usize,
    weights: usize,
}

impl Given {
    fn of(
        &mut self,
        point: &Point,
        sweep: &Sweep,
        ledger: &Ledger,
        missing: &mut Vec<String>,
    ) -> Result<Places, PlanError> {
        let is_it = |(_, known): &(_, PlannedData)| {
            (&known.dataset, known.images, known.cache)
                == (&point.dataset, point.images, point.cache)
        };
        let data = match self.data.iter().position(is_it) {
            Some(position) => position,
            None => {
                let planned = locate(sweep, point, ledger, missing)?;
                self.data.push((
                    DataId::of(&planned.dataset, &planned.images, &planned.fingerprint),
                    planned,
                ));
                self.data.len() - 1
            }
        };
        let backbone = &point.model.backbone;
        let weights = match self.weights.iter().position(|(known, _)| known == backbone) {
            Some(position) => position,
            None => {
                self.weights.push((
                    backbone.clone(),
                    start(&sweep.resources.weights, backbone, missing)?,
                ));
                self.weights.len() - 1
            }
        };
        Ok(Places { data, weights })
    }

    fn cell<'a>(
        &'a self,
        sweep: &'a Sweep,
        point: &'a Point,
        method: &'a Method,
        places: &Places,
        numerics: Numerics,
    ) -> Cell<'a> {
        let data = &self.data[places.data].1.fingerprint;
        Cell {
            sweep,
            point,
            method,
            data,
            weights: self.weights[places.weights].1.1.as_ref(),
            numerics,
        }
    }

    fn of_study(&self, places: &Places) -> study::Given {
        let (file, weights) = self.weights[places.weights].1.clone();
        study::Given {
            data: self.data[places.data].0,
            file,
            weights,
        }
    }
}

/// The file and the hash of the weights that a backbone starts from, if it does.
fn start(
    root: &Path,
    backbone: &Backbone,
    missing: &mut Vec<String>,
) -> Result<Start, WeightsError> {
    match weights::locate(root, backbone) {
        Ok(located) => Ok(located.unzip()),
        Err(error @ WeightsError::Missing { .. }) => {
            note(missing, &error);
            Ok((None, Some(Weights::missing())))
        }
        Err(error) => Err(error),
    }
}

fn note(missing: &mut Vec<String>, what: &impl ToString) {
    let message = what.to_string();
    if !missing.contains(&message) {
        missing.push(message);
    }
}

fn locate(
    sweep: &Sweep,
    point: &Point,
    ledger: &Ledger,
    missing: &mut Vec<String>,
) -> Result<PlannedData, FingerprintError> {
    let (source, fingerprint) = match fingerprint::locate(ledger, &point.dataset, &sweep.data_root)
    {
        Ok(located) => (located.source, located.fingerprint),
        Err(error @ FingerprintError::Missing { .. }) => {
            note(missing, &error);
            (None, Fingerprint::missing())
        }
        Err(error) => return Err(error),
    };
    let (dataset, images, cache) = (point.dataset.clone(), point.images, point.cache);
    Ok(PlannedData {
        dataset,
        images,
        cache,
        fingerprint,
        source,
    })
}

#[cfg(test)]
mod ids_tests;
#[cfg(test)]
mod tests;
