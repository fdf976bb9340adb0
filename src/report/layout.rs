//! How a table is laid out, as one general description: what stands one under the other, what side by side, and in
//! which order the rows come.

use schema::Metric;
use serde::{Deserialize, Serialize};

use crate::{
    Together,
    gather::Runs,
    table::{Block, Group, Line, Part},
};

/// The layouts that there are.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Each data set has a table of its own, with all its metrics; so have concatenated folds.
    #[default]
    DataSets,
    /// Data sets side by side, each with its own Recall@K, as most papers print it.
    Benchmark,
    /// Each data set has a table with concatenated and separated folds side by side, as in "A Metric Learning Reality
    /// Check" (ECCV 2020), tables 2 to 4: P@1, RP and MAP@R, untrained rows on top.
    RealityCheck,
}

impl Layout {
    /// Its name in a sweep file and in those of tables.
    pub fn name(self) -> &'static str {
        match self {
            Layout::DataSets => "data_sets",
            Layout::Benchmark => "benchmark",
            Layout::RealityCheck => "reality_check",
        }
    }

    /// The metrics that it shows of a data set with this list of K; none if it shows whatever is measured.
    pub fn metrics(self, recall_at: &[u32]) -> Option<Vec<Metric>> {
        match self {
            Layout::DataSets => None,
            Layout::Benchmark => Some(recall_at.iter().copied().map(Metric::RecallAt).collect()),
            Layout::RealityCheck => Some(vec![
                Metric::PrecisionAt1,
                Metric::RPrecision,
                Metric::MapAtR,
            ]),
        }
    }

    fn shape(self) -> Shape {
        match self {
            Layout::DataSets => Shape {
                data_sets: Along::Blocks,
                folds: Along::Blocks,
                baselines_first: false,
                joined_first: false,
            },
            Layout::Benchmark => Shape {
                data_sets: Along::Groups,
                folds: Along::Blocks,
                baselines_first: true,
                joined_first: false,
            },
            Layout::RealityCheck => Shape {
                data_sets: Along::Blocks,
                folds: Along::Groups,
                baselines_first: true,
                joined_first: true,
            },
        }
    }
}

/// What a layout is made of.
#[derive(Clone, Copy, Debug)]
struct Shape {
    data_sets: Along,
    /// Separated and concatenated folds.
    folds: Along,
    /// Whether rows without training come on top of the others.
    baselines_first: bool,
    /// Whether concatenated folds come before separated ones.
    joined_first: bool,
}

/// Where the values of a dimension stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Along {
    /// One under the other, each with a heading and rows of its own.
    Blocks,
    /// Side by side, as groups of columns.
    Groups,
}

/// Which data set and which kind of folds a block or a group shows; none for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice<'a> {
    pub(crate) dataset: Option<&'a str>,
    pub(crate) together: Option<Together>,
}

impl Slice<'_> {
    /// `Omniglot, separated`.
    pub(crate) fn heading(&self) -> String {
        let together = self.together.map(|together| together.to_string());
        let parts: Vec<String> = self
            .dataset
            .map(str::to_owned)
            .into_iter()
            .chain(together)
            .collect();
        parts.join(", ")
    }
}

impl Shape {
    fn slice<'a>(&self, runs: &Runs<'a>, along: Along) -> Slice<'a> {
        Slice {
            dataset: (self.data_sets == along).then_some(runs.dataset),
            together: runs.together.filter(|_| self.folds == along),
        }
    }

    /// The slices of these lines, by first appearance.
    fn slices<'a>(&self, lines: &[(&Runs<'a>, Part)], along: Along) -> Vec<Slice<'a>> {
        let mut slices: Vec<Slice<'a>> = Vec::new();
        for (runs, _) in lines {
            let slice = self.slice(runs, along);
            if !slices.contains(&slice) {
                slices.push(slice);
            }
        }
        if self.joined_first && self.folds == along {
            slices.sort_by_key(|slice| slice.together != Some(Together::Concatenated));
        }
        slices
    }
}

/// Puts the parts of all lines in their places.
pub(crate) fn blocks(layout: Layout, lines: &[(&Runs<'_>, Part)]) -> Vec<Block> {
    let shape = layout.shape();
    let block = |slice: Slice<'_>| {
        let inside: Vec<(&Runs<'_>, Part)> = lines
            .iter()
            .filter(|(runs, _)| shape.slice(runs, Along::Blocks) == slice)
            .cloned()
            .collect();
        block(&shape, slice, &inside)
    };
    shape
        .slices(lines, Along::Blocks)
        .into_iter()
        .map(block)
        .collect()
}

fn block(shape: &Shape, slice: Slice<'_>, inside: &[(&Runs<'_>, Part)]) -> Block {
    let groups = shape.slices(inside, Along::Groups);
    let mut rows: Vec<&Runs<'_>> = inside.iter().map(|(runs, _)| *runs).collect();
    rows.sort_by_key(|runs| {
        (
            shape.baselines_first && !runs.is_baseline,
            runs.place.clone(),
        )
    });
    rows.dedup_by_key(|runs| runs.place.clone());
    let part = |row: &Runs<'_>, group: &Slice<'_>| {
        let is_it =
            |runs: &Runs<'_>| runs.place == row.place && shape.slice(runs, Along::Groups) == *group;
        inside
            .iter()
            .find(|(runs, _)| is_it(runs))
            .map(|(_, part)| part.clone())
    };
    let metrics = |group: &Slice<'_>| {
        let first = inside
            .iter()
            .find(|(runs, _)| shape.slice(runs, Along::Groups) == *group);
        first
            .map(|(runs, _)| runs.metrics.clone())
            .unwrap_or_default()
    };
    Block {
        dataset: slice.dataset.map(str::to_owned),
        together: slice.together,
        heading: slice.heading(),
        lines: rows
            .iter()
            .map(|row| Line {
                method: row.method.to_owned(),
                settings: row.settings.clone(),
                parts: groups.iter().map(|group| part(row, group)).collect(),
            })
            .collect(),
        groups: groups
            .iter()
            .map(|group| Group {
                dataset: group.dataset.or(slice.dataset).map(str::to_owned),
                together: group.together.or(slice.together),
                heading: group.heading(),
                metrics: metrics(group),
            })
            .collect(),
        published: Vec::new(),
    }
}
