//! The best row of each data set, and a run of it: what retrieval is shown for.

use std::collections::BTreeMap;

use schema::RunId;

use crate::{
    Table, Together,
    gather::primary,
    key::DatasetIndex,
    model::{Group, Line, Part},
};

/// A row with one of its runs.
#[derive(Clone, Debug, PartialEq)]
pub struct BestRun {
    /// The data set and the row.
    pub title: String,
    /// The first of its runs that finished.
    pub run: RunId,
}

impl Table {
    /// Returns the row of each data set with the highest mean by the metric that decides. Rows of concatenated folds,
    /// which have no run of their own, are left out.
    pub fn best_runs(&self) -> Vec<BestRun> {
        let mut best: BTreeMap<DatasetIndex, (f64, BestRun)> = BTreeMap::new();
        for block in &self.blocks {
            for line in &block.lines {
                let parts = line.parts.iter().zip(&block.groups);
                for (dataset, mean, run) in
                    parts.filter_map(|(part, group)| self.candidate(line, part.as_ref()?, group))
                {
                    if best
                        .get(&dataset)
                        .is_none_or(|(highest, _)| mean > *highest)
                    {
                        best.insert(dataset, (mean, run));
                    }
                }
            }
        }
        best.into_values().map(|(_, run)| run).collect()
    }

    /// A row with its mean and its data set; none if nothing is measured.
    fn candidate(
        &self,
        line: &Line,
        part: &Part,
        group: &Group,
    ) -> Option<(DatasetIndex, f64, BestRun)> {
        if group.shows.together == Some(Together::Concatenated) {
            return None;
        }
        let (dataset, metric) = (group.shows.dataset?, primary(&group.metrics)?);
        let (mean, _) = part.cells[metric].numbers();
        let mut results = part.results.iter();
        let result = results.find(|result| result.values[metric].is_some())?;
        let names = [self.names.title(dataset), &line.method].into_iter();
        let settings = line.settings.iter().map(String::as_str);
        let names: Vec<&str> = names
            .chain(settings.filter(|name| !name.is_empty()))
            .collect();
        let run = BestRun {
            title: format!("{}, seed {}", names.join(", "), result.seed),
            run: result.run,
        };
        Some((dataset, mean?, run))
    }
}
