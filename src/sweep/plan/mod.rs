//! From a checked sweep to a graph of jobs, each with the reason why it runs or need not.
//!
//! [`expand`] multiplies methods, axis values, seeds and folds into members of the table, each with the recipe
//! of its run; equal recipes are one run. [`graph`] orders the jobs of all runs. [`freshness`] compares them
//! with what lies under `results/`.

mod expand;
pub mod freshness;
mod graph;

use std::{collections::BTreeMap, path::PathBuf};

use petgraph::graph::DiGraph;
use schema::{DataId, Dataset, Fingerprint, Fold, Identity, Numerics, RunId};

pub use graph::Node;

use crate::{
    ledger::{
        Ledger,
        fingerprint::{self, FingerprintError},
    },
    spec::Sweep,
};

/// All that a sweep leads to.
#[derive(Debug)]
pub struct Plan {
    /// One for each method, combination of axis values, seed and fold, in the order of the table.
    pub members: Vec<Member>,
    /// The distinct runs behind them.
    pub runs: BTreeMap<RunId, PlannedRun>,
    /// The prepared data sets that they need.
    pub data: BTreeMap<DataId, PlannedData>,
    /// Jobs, with an edge from each to those that wait for it.
    pub graph: DiGraph<Node, ()>,
    /// Data sets that are not in their place. Runs on them have names that are not final.
    pub missing: Vec<String>,
}

/// One repetition of one cell of the table.
#[derive(Clone, Debug)]
pub struct Member {
    /// The method's name.
    pub method: String,
    /// The data set's title.
    pub dataset: &'static str,
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
    pub identity: Identity,
    /// The prepared data set.
    pub data: DataId,
}

/// A data set to prepare.
#[derive(Clone, Debug)]
pub struct PlannedData {
    /// Which.
    pub dataset: Dataset,
    /// Pixels a side.
    pub image_size: u32,
    /// Its content.
    pub fingerprint: Fingerprint,
    /// Its folder; absent for one that the program draws itself.
    pub source: Option<PathBuf>,
}

impl Plan {
    /// Plans a sweep for one kind of arithmetic. A data set that is missing is noted, not an error.
    ///
    /// # Errors
    /// A data set cannot be read.
    pub fn new(sweep: &Sweep, ledger: &Ledger, numerics: Numerics) -> Result<Plan, FingerprintError> {
        let (mut members, mut runs, mut data, mut missing) = (Vec::new(), BTreeMap::new(), BTreeMap::new(), Vec::new());
        for point in &sweep.points {
            let planned = locate(sweep, &point.dataset, point.image_size, ledger, &mut missing)?;
            let data_id = DataId::of(&planned.dataset, planned.image_size, &planned.fingerprint);
            for (member, identity) in expand::members(sweep, point, &planned.fingerprint, numerics) {
                runs.entry(member.run).or_insert(PlannedRun { identity, data: data_id });
                members.push(member);
            }
            data.insert(data_id, planned);
        }
        let graph = graph::of(&runs);
        Ok(Plan { members, runs, data, graph, missing })
    }
}

fn locate(
    sweep: &Sweep,
    dataset: &Dataset,
    image_size: u32,
    ledger: &Ledger,
    missing: &mut Vec<String>,
) -> Result<PlannedData, FingerprintError> {
    let (source, fingerprint) = match fingerprint::locate(ledger, dataset, &sweep.data_root) {
        Ok(located) => (located.source, located.fingerprint),
        Err(error @ FingerprintError::Missing { .. }) => {
            let message = error.to_string();
            if !missing.contains(&message) {
                missing.push(message);
            }
            (None, Fingerprint::missing())
        }
        Err(error) => return Err(error),
    };
    Ok(PlannedData { dataset: dataset.clone(), image_size, fingerprint, source })
}

#[cfg(test)]
mod tests;
