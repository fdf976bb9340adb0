//! Layouts of tables, as data: what is below each other, what is side by side, and the order of rows.

use schema::Metric;
use serde::{Deserialize, Serialize};

use crate::{
    Together,
    gather::{Names, RowRuns},
    heads::HeadPart,
    key::Slice,
    model::{Block, Group, Line, Part},
};

/// The layouts of a table.
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
    /// A table for each data set, with all its metrics, and one more for its concatenated folds.
    #[default]
    DataSets,
    /// Data sets side by side, each with its own Recall@K, as most papers print it.
    Benchmark,
    /// A table for each data set with concatenated and separated folds side by side, as in "A Metric
    /// Learning Reality Check" (ECCV 2020), tables 2 to 4: P@1, RP and MAP@R, untrained rows on top.
    RealityCheck,
}

impl Layout {
    /// The name of the layout in sweep files and in the names of table files.
    pub fn name(self) -> &'static str {
        match self {
            Layout::DataSets => "data_sets",
            Layout::Benchmark => "benchmark",
            Layout::RealityCheck => "reality_check",
        }
    }

    /// The metrics of the layout for a data set with this list of K; none if it shows all that are
    /// measured.
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

    fn shape(self) -> LayoutShape {
        match self {
            Layout::DataSets => LayoutShape {
                data_sets: Along::Blocks,
                folds: Along::Blocks,
                baselines_first: false,
                concatenated_first: false,
            },
            Layout::Benchmark => LayoutShape {
                data_sets: Along::Groups,
                folds: Along::Blocks,
                baselines_first: true,
                concatenated_first: false,
            },
            Layout::RealityCheck => LayoutShape {
                data_sets: Along::Blocks,
                folds: Along::Groups,
                baselines_first: true,
                concatenated_first: true,
            },
        }
    }
}

/// The description of a layout.
#[derive(Clone, Copy, Debug)]
struct LayoutShape {
    data_sets: Along,
    /// Separated and concatenated folds.
    folds: Along,
    /// True if rows without training come first.
    baselines_first: bool,
    /// True if concatenated folds come before separated ones.
    concatenated_first: bool,
}

/// The direction in which a dimension extends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Along {
    /// Below each other, each with its own heading and rows.
    Blocks,
    /// Side by side, as groups of columns.
    Groups,
}

/// A line of runs with the part of the table that shows it.
pub(crate) struct Placed<'a> {
    pub(crate) runs: &'a RowRuns<'a>,
    pub(crate) part: Part,
    pub(crate) heads: Vec<HeadPart>,
}

impl LayoutShape {
    /// The slice of a dimension to which a line belongs.
    fn slice(&self, runs: &RowRuns<'_>, along: Along) -> Slice {
        Slice {
            dataset: (self.data_sets == along).then_some(runs.panel.dataset),
            together: runs.panel.together.filter(|_| self.folds == along),
        }
    }

    /// The slices of these lines, by first appearance.
    fn slices(&self, lines: &[&Placed<'_>], along: Along) -> Vec<Slice> {
        let mut slices: Vec<Slice> = Vec::new();
        for line in lines {
            let slice = self.slice(line.runs, along);
            if !slices.contains(&slice) {
                slices.push(slice);
            }
        }
        if self.concatenated_first && self.folds == along {
            slices.sort_by_key(|slice| slice.together != Some(Together::Concatenated));
        }
        slices
    }

    /// The lines of a slice.
    fn inside<'p, 'a>(
        &self,
        lines: &[&'p Placed<'a>],
        along: Along,
        slice: Slice,
    ) -> Vec<&'p Placed<'a>> {
        let mut inside = lines.to_vec();
        inside.retain(|line| self.slice(line.runs, along) == slice);
        inside
    }

    /// A line for each distinct row, in the order of the table.
    fn rows<'p, 'a>(&self, lines: &[&'p Placed<'a>]) -> Vec<&'p RowRuns<'a>> {
        let mut rows: Vec<&RowRuns<'_>> = lines.iter().map(|line| line.runs).collect();
        rows.sort_by_key(|runs| {
            let is_later = self.baselines_first && !runs.is_baseline;
            (is_later, &runs.key)
        });
        rows.dedup_by_key(|runs| &runs.key);
        rows
    }
}

/// Arranges the parts of all lines.
pub(crate) fn blocks(layout: Layout, names: &Names, lines: &[Placed<'_>]) -> Vec<Block> {
    let shape = layout.shape();
    let lines: Vec<&Placed<'_>> = lines.iter().collect();
    let mut blocks = Vec::new();
    for slice in shape.slices(&lines, Along::Blocks) {
        let inside = shape.inside(&lines, Along::Blocks, slice);
        blocks.push(block(&shape, names, slice, &inside));
    }
    blocks
}

fn block(shape: &LayoutShape, names: &Names, slice: Slice, inside: &[&Placed<'_>]) -> Block {
    let slices = shape.slices(inside, Along::Groups);
    let mut groups = Vec::with_capacity(slices.len());
    let mut columns = Vec::with_capacity(slices.len());
    for of_group in slices {
        let lines = shape.inside(inside, Along::Groups, of_group);
        groups.push(group(names, slice, of_group, &lines));
        columns.push(lines);
    }
    let mut lines = Vec::new();
    for row in shape.rows(inside) {
        let placed: Vec<Option<&Placed<'_>>> =
            columns.iter().map(|column| placed(row, column)).collect();
        let whole = Line {
            method: names.method(&row.key).to_owned(),
            settings: names.settings(&row.key),
            head: None,
            parts: placed
                .iter()
                .map(|placed| Some(placed.as_ref()?.part.clone()))
                .collect(),
            heads: Vec::new(),
        };
        lines.push(Line {
            heads: heads(&placed, &whole),
            ..whole
        });
    }
    Block {
        slice,
        heading: heading(names, slice),
        groups,
        published: Vec::new(),
        lines,
    }
}

fn group(names: &Names, block: Slice, slice: Slice, lines: &[&Placed<'_>]) -> Group {
    let first = lines.first();
    Group {
        slice,
        shows: Slice {
            dataset: slice.dataset.or(block.dataset),
            together: slice.together.or(block.together),
        },
        heading: heading(names, slice),
        metrics: first.map_or_else(Vec::new, |line| line.runs.metrics.clone()),
    }
}

/// A row in one group of columns.
fn placed<'p, 'a>(row: &RowRuns<'_>, column: &[&'p Placed<'a>]) -> Option<&'p Placed<'a>> {
    let mut column = column.iter();
    column.find(|line| line.runs.key == row.key).copied()
}

/// The lines of the heads of a row, which may have been measured in some groups of columns only.
fn heads(placed: &[Option<&Placed<'_>>], whole: &Line) -> Vec<Line> {
    let measured = placed
        .iter()
        .flatten()
        .find(|placed| !placed.heads.is_empty());
    let heads = measured.iter().flat_map(|placed| &placed.heads).enumerate();
    let lines = heads.map(|(head, named)| Line {
        head: Some(named.name.clone()),
        parts: placed
            .iter()
            .map(|placed| of_head(placed.as_ref()?, head))
            .collect(),
        ..whole.clone()
    });
    lines.collect()
}

fn of_head(placed: &Placed<'_>, head: usize) -> Option<Part> {
    Some(placed.heads.get(head)?.part.clone())
}

/// `Omniglot, separated`.
fn heading(names: &Names, slice: Slice) -> String {
    let dataset = slice.dataset.map(|dataset| names.title(dataset).to_owned());
    let together = slice.together.map(|together| together.to_string());
    let parts: Vec<String> = dataset.into_iter().chain(together).collect();
    parts.join(", ")
}
