//! What a run or an ensemble measured for each query, as `queries.csv` in its folder has it.

use std::path::Path;

use report::{Queries, Source};
use schema::Metric;
use serde::Deserialize;

use crate::ledger::{Ledger, RunFolder};

/// One line of the file; what is not measured, or of a query that has nothing to find, is empty.
#[derive(Debug, Deserialize)]
struct Query {
    label: i64,
    first_rank: u32,
    r_precision: Option<f64>,
    #[serde(rename = "ap@r")]
    ap_at_r: Option<f64>,
    ap: Option<f64>,
}

impl Query {
    fn value(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::RecallAt(k) => Some(f64::from(u8::from(self.first_rank <= k))),
            Metric::PrecisionAt1 => Some(f64::from(u8::from(self.first_rank <= 1))),
            Metric::RPrecision => self.r_precision,
            Metric::MapAtR => self.ap_at_r,
            Metric::Map => self.ap,
            Metric::Mrr => Some(1.0 / f64::from(self.first_rank)),
            Metric::Nmi
            | Metric::Ami
            | Metric::F1
            | Metric::MacroPrecisionAt1
            | Metric::MacroMapAtR
            | Metric::TarAtFar(_)
            | Metric::EqualErrorAccuracy
            | Metric::HierarchicalAp
            | Metric::Ndcg
            | Metric::CategoryPrecisionAt1
            | Metric::CategoryMapAtR => None,
        }
    }
}

/// What was measured for each query, by each metric. None if the file is not there or does not tell.
pub(super) fn queries(source: Source, metrics: &[Metric], ledger: &Ledger) -> Vec<Option<Queries>> {
    read(&folder(source, ledger).queries(), metrics)
}

/// The folder of what was measured.
pub(in crate::cli) fn folder(source: Source, ledger: &Ledger) -> RunFolder {
    match source {
        Source::Run(run) => ledger.run(run),
        Source::Ensemble(ensemble) => ledger.ensemble(ensemble),
    }
}

/// The queries of a file that have something to find, by each metric.
fn read(path: &Path, metrics: &[Metric]) -> Vec<Option<Queries>> {
    let all = all_of(path).unwrap_or_default();
    metrics.iter().map(|&metric| by(metric, &all)).collect()
}

fn all_of(path: &Path) -> Option<Vec<Query>> {
    let text = durable::read(path).ok()?;
    csv::Reader::from_reader(&*text)
        .deserialize()
        .collect::<Result<_, _>>()
        .ok()
}

fn by(metric: Metric, all: &[Query]) -> Option<Queries> {
    let mut queries = Queries {
        classes: Vec::new(),
        values: Vec::new(),
    };
    for query in all {
        if let Some(value) = query.value(metric) {
            queries.classes.push(u32::try_from(query.label).ok()?);
            queries.values.push(value);
        }
    }
    (!queries.values.is_empty()).then_some(queries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_read_from_its_column() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "image,label,first_rank,r_precision,ap@r,ap\n0,7,3,0.5,0.25,\n1,9,1,1,1,\n",
        )
        .unwrap();
        let queries = |metric| read(file.path(), &[metric]).remove(0);
        let values = |metric| queries(metric).map(|queries| queries.values);
        assert_eq!(values(Metric::RecallAt(2)), Some(vec![0.0, 1.0]));
        assert_eq!(values(Metric::MapAtR), Some(vec![0.25, 1.0]));
        assert_eq!(values(Metric::Mrr), Some(vec![1.0 / 3.0, 1.0]));
        assert_eq!((values(Metric::Map), values(Metric::Nmi)), (None, None));
        assert_eq!(queries(Metric::MapAtR).unwrap().classes, [7, 9]);
        assert_eq!(read(Path::new("nowhere.csv"), &[Metric::MapAtR]), [None]);
    }
}
