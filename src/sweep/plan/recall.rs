//! What finished runs were computed from.
//!
//! The id of a run depends on more than its recipe in the sweep file: on the content of the data set, the
//! trained weights and the kind of arithmetic. Results outlive all three: the data is deleted, the weights
//! are renamed, the results are copied to another machine. What is not at hand is taken from the identities
//! of the finished runs, and only if they leave no doubt about which runs the sweep file means.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use rayon::prelude::*;
use schema::{Fingerprint, Identity, Numerics, RunId, Weights};

use super::{DataInput, Inputs, PlanError, StartWeights, Study, SweepRow, expand::Cell};
use crate::{config::Sweep, ledger::Ledger};

/// The results leave it open which runs a sweep file means.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// There are runs on several contents of a data set that is not at hand.
    #[error("{absent}\nrestore it: `{}` has results of this sweep on {count} versions of this data set, and the sweep file does not tell which are meant", results.display())]
    SeveralContents {
        /// Why the data set is not at hand.
        absent: String,
        /// The results folder.
        results: PathBuf,
        /// The number of contents.
        count: usize,
    },
    /// There are runs from several files of weights that are not at hand.
    #[error("{absent}\n`{}` has results of this sweep from {count} files with these weights, and the sweep file does not tell which are meant", results.display())]
    SeveralWeights {
        /// Why the weights are not at hand.
        absent: String,
        /// The results folder.
        results: PathBuf,
        /// The number of files.
        count: usize,
    },
    /// There are runs of several kinds of arithmetic.
    #[error("`{}` has results of this sweep from {}, and the sweep file does not tell which are meant\nhint: choose with {}", results.display(), listed(kinds, in_words, "and"), listed(kinds, settings, "or"))]
    SeveralArithmetics {
        /// The results folder.
        results: PathBuf,
        /// The kinds.
        kinds: Vec<Numerics>,
    },
}

/// Returns a kind of arithmetic in words.
pub fn in_words(numerics: &Numerics) -> String {
    match numerics {
        Numerics::Cpu { threads: 1 } => "the CPU with 1 thread".to_owned(),
        Numerics::Cpu { threads } => format!("the CPU with {threads} threads"),
        Numerics::Cuda => "a GPU".to_owned(),
    }
}

/// Returns the options that choose a kind of arithmetic.
fn settings(numerics: &Numerics) -> String {
    match numerics {
        Numerics::Cpu { threads } => {
            format!("`--set 'resources.device=\"cpu\"' --set resources.threads={threads}`")
        }
        Numerics::Cuda => "`--set 'resources.device=\"cuda\"'`".to_owned(),
    }
}

fn listed(kinds: &[Numerics], text: fn(&Numerics) -> String, last: &str) -> String {
    let texts: Vec<String> = kinds.iter().map(text).collect();
    match texts.split_last() {
        Some((end, others)) if !others.is_empty() => {
            format!("{} {last} {end}", others.join(", "))
        }
        _ => texts.concat(),
    }
}

/// Which kinds of arithmetic a plan may have.
#[derive(Clone, Copy, Debug)]
pub enum Arithmetic<'n> {
    /// This one, with which missing runs would be computed.
    Here(Numerics),
    /// That of the results: one of these, which the sweep file allows, or else any; without results, the first.
    OfResults(&'n [Numerics]),
}

impl Arithmetic<'_> {
    fn expected(&self) -> Vec<Numerics> {
        match self {
            Arithmetic::Here(numerics) => vec![*numerics],
            Arithmetic::OfResults(allowed) => allowed.to_vec(),
        }
    }
}

/// The inputs of a row that has results.
#[derive(Clone, Debug)]
struct Origin {
    /// The positions of its point and its method.
    row: (usize, usize),
    /// The position of the data set among the inputs.
    data: usize,
    fingerprint: Fingerprint,
    /// The position of the weights among the inputs, and the weights, if the row starts from some.
    weights: Option<(usize, Weights)>,
    numerics: Numerics,
}

/// All results of a folder, among them those of a sweep.
struct Results<'a> {
    sweep: &'a Sweep,
    ledger: &'a Ledger,
    begun: Arc<BTreeSet<RunId>>,
    identities: OnceLock<Vec<Identity>>,
}

/// Completes the inputs of a sweep from its results, and returns its kind of arithmetic.
///
/// # Errors
/// The results leave it open which runs are meant.
pub(super) fn complete(
    inputs: &mut Inputs,
    rows: &[SweepRow],
    sweep: &Sweep,
    ledger: &Ledger,
    arithmetic: Arithmetic<'_>,
) -> Result<Numerics, PlanError> {
    let expected = arithmetic.expected();
    if !inputs.are_open() && matches!(arithmetic, Arithmetic::Here(_)) {
        return Ok(expected[0]);
    }
    let results = Results {
        sweep,
        ledger,
        begun: ledger.runs()?,
        identities: OnceLock::new(),
    };
    let mut origins = results.origins(inputs, rows, &expected);
    if origins.is_empty() && matches!(arithmetic, Arithmetic::OfResults(_)) {
        origins = results.origins(inputs, rows, &results.arithmetics(&expected));
    }
    let numerics = match results.the_arithmetic(&origins)? {
        Some(numerics) => numerics,
        None => return Ok(expected[0]),
    };
    origins.retain(|origin| origin.numerics == numerics);
    inputs.complete(&origins, &results)?;
    Ok(numerics)
}

impl Results<'_> {
    /// Returns the inputs of all rows that have results. One row suffices where nothing is to be decided.
    fn origins(&self, inputs: &Inputs, rows: &[SweepRow], kinds: &[Numerics]) -> Vec<Origin> {
        if let [numerics] = kinds
            && !inputs.are_open()
        {
            let of_row = |row: &SweepRow| self.origins_of(row, inputs, *numerics).pop();
            return rows.par_iter().find_map_any(of_row).into_iter().collect();
        }
        let mut origins = Vec::new();
        for &numerics in kinds {
            let of_row = |row: &SweepRow| self.origins_of(row, inputs, numerics);
            origins.par_extend(rows.par_iter().flat_map(of_row));
        }
        origins
    }

    fn origins_of(&self, row: &SweepRow, inputs: &Inputs, numerics: Numerics) -> Vec<Origin> {
        let data = &inputs.data[row.inputs.data];
        let weights = &inputs.weights[row.inputs.weights];
        let fingerprints = match data.absence {
            None => BTreeSet::from([data.planned.fingerprint.clone()]),
            Some(_) => self.fingerprints(data),
        };
        let files = match weights.absence {
            None => BTreeSet::from([weights.weights.clone()]),
            Some(_) => self.weights(weights),
        };
        let mut origins = Vec::new();
        for fingerprint in &fingerprints {
            for file in &files {
                let cell = row.cell(self.sweep, fingerprint, file.as_ref(), numerics);
                let starts = row.starts_from_weights(self.sweep);
                if self.has_any(row, &cell) {
                    origins.push(Origin {
                        row: (row.point, row.method),
                        data: row.inputs.data,
                        fingerprint: fingerprint.clone(),
                        weights: file
                            .clone()
                            .filter(|_| starts)
                            .map(|file| (row.inputs.weights, file)),
                        numerics,
                    });
                }
            }
        }
        origins
    }

    /// True if there is a result of the row.
    fn has_any(&self, row: &SweepRow, cell: &Cell<'_>) -> bool {
        if cell.method.search.is_some() {
            return self.ledger.has_points(Study::id_of(cell));
        }
        let point = &self.sweep.points[row.point];
        let mut runs = cell.runs(&cell.method.table, &point.training);
        runs.any(|run| self.begun.contains(&run) && self.ledger.has_result(run))
    }

    /// The contents of a data set with which there are runs.
    fn fingerprints(&self, data: &DataInput) -> BTreeSet<Fingerprint> {
        let identities = self.identities().iter();
        let on_it = identities.filter(|identity| identity.recipe.dataset == data.planned.dataset);
        on_it.map(|identity| identity.data.clone()).collect()
    }

    /// The weights of a backbone with which there are runs.
    fn weights(&self, start: &StartWeights) -> BTreeSet<Option<Weights>> {
        let mut found = BTreeSet::new();
        for identity in self.identities() {
            let backbone = &identity.recipe.model.backbone;
            if let Some(weights) = backbone.weights()
                && start.backbone.clone().with_weights(weights.clone()) == *backbone
            {
                found.insert(Some(weights.clone()));
            }
        }
        found
    }

    /// The kinds of arithmetic of all runs, except these.
    fn arithmetics(&self, known: &[Numerics]) -> Vec<Numerics> {
        let mut kinds: Vec<Numerics> = Vec::new();
        for identity in self.identities() {
            let kind = identity.numerics;
            if !known.contains(&kind) && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// The identities of all runs with a result. What cannot be read is of no use here.
    fn identities(&self) -> &[Identity] {
        self.identities.get_or_init(|| {
            let runs: Vec<RunId> = self.begun.iter().copied().collect();
            let identity = |run: &RunId| -> Option<Identity> {
                let stored = self.ledger.identity(*run).ok()??;
                let identity: Identity = serde_json::from_value(stored).ok()?;
                (identity.run() == *run && self.ledger.has_result(*run)).then_some(identity)
            };
            runs.par_iter().filter_map(identity).collect()
        })
    }

    /// The kind of arithmetic of all origins, if there are some. Of several kinds, one that has results of
    /// all rows that another has, and of more: sweeps share baselines.
    fn the_arithmetic(&self, origins: &[Origin]) -> Result<Option<Numerics>, RecallError> {
        let kinds = rows_of_kinds(origins);
        if kinds.is_empty() {
            return Ok(None);
        }
        let is_largest = |(kind, rows): &&(Numerics, Rows)| {
            let mut others = kinds.iter().filter(|(other, _)| other != kind);
            others.all(|(_, fewer)| fewer.is_subset(rows) && fewer != rows)
        };
        if let Some((kind, _)) = kinds.iter().find(is_largest) {
            return Ok(Some(*kind));
        }
        Err(RecallError::SeveralArithmetics {
            results: self.ledger.root().to_owned(),
            kinds: kinds.into_iter().map(|(kind, _)| kind).collect(),
        })
    }
}

/// Rows by the positions of their points and methods.
type Rows = BTreeSet<(usize, usize)>;

/// Returns the rows that have results, for each kind of arithmetic.
fn rows_of_kinds(origins: &[Origin]) -> Vec<(Numerics, Rows)> {
    let mut kinds: Vec<(Numerics, Rows)> = Vec::new();
    for origin in origins {
        match kinds.iter_mut().find(|(kind, _)| *kind == origin.numerics) {
            Some((_, rows)) => {
                rows.insert(origin.row);
            }
            None => kinds.push((origin.numerics, Rows::from([origin.row]))),
        }
    }
    kinds
}

impl Inputs {
    /// True if some input is not at hand.
    fn are_open(&self) -> bool {
        let data = self.data.iter().any(|data| data.absence.is_some());
        data || self.weights.iter().any(|start| start.absence.is_some())
    }

    /// Sets the data and the weights that are not at hand to those of the results.
    fn complete(&mut self, origins: &[Origin], results: &Results<'_>) -> Result<(), RecallError> {
        for (position, data) in self.data.iter_mut().enumerate() {
            let of_data = origins.iter().filter(|origin| origin.data == position);
            let found: BTreeSet<&Fingerprint> = of_data.map(|origin| &origin.fingerprint).collect();
            let Some(absence) = &mut data.absence else {
                continue;
            };
            if found.len() > 1 {
                return Err(RecallError::SeveralContents {
                    absent: absence.error.to_string(),
                    results: results.ledger.root().to_owned(),
                    count: found.len(),
                });
            }
            if let Some(&fingerprint) = found.first() {
                absence.is_recalled = true;
                data.planned.fingerprint = fingerprint.clone();
            }
        }
        for (position, start) in self.weights.iter_mut().enumerate() {
            let of_all = origins.iter().filter_map(|origin| origin.weights.as_ref());
            let found: BTreeSet<&Weights> = of_all
                .filter(|(input, _)| *input == position)
                .map(|(_, weights)| weights)
                .collect();
            let Some(absence) = &mut start.absence else {
                continue;
            };
            if found.len() > 1 {
                return Err(RecallError::SeveralWeights {
                    absent: absence.error.to_string(),
                    results: results.ledger.root().to_owned(),
                    count: found.len(),
                });
            }
            if let Some(&weights) = found.first() {
                absence.is_recalled = true;
                start.weights = Some(weights.clone());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
