//! The tables of the page. Each value opens to the runs behind it.

use maud::{Markup, html};
use schema::Metric;

use super::{legend, pivots};
use crate::{
    Table,
    legend::BOLD,
    markdown::{superscript, values},
    model::{Block, Cell, Group, Line, Part, Pivot, RunResult, Statement, Value},
    number::percent,
    significance::Significance,
};

/// What is shown, what is equal and what is open.
pub(super) fn claims(table: &Table) -> Option<Markup> {
    let claims = table.claims.iter().zip(table.claims_in_words());
    (!table.claims.is_empty()).then(|| {
        html! {
            ul class="claims" { @for (claim, words) in claims { li class=(kind(&claim.says)) { (words) } } }
        }
    })
}

/// The class of a claim.
fn kind(statement: &Statement) -> &'static str {
    match statement {
        Statement::Better { .. } | Statement::BetterThanMore { .. } => "shown",
        Statement::Equal { .. } => "equal",
        Statement::Open { .. } | Statement::OpenForMore { .. } | Statement::TooFew { .. } => "open",
        Statement::BelowUntrained { .. } | Statement::MoreBelowUntrained { .. } => "doubt",
    }
}

pub(super) fn all(tables: &[Table]) -> Markup {
    html! {
        @for (number, table) in tables.iter().enumerate() {
            @for (position, block) in table.blocks.iter().enumerate() {
                @let heading = if block.heading.is_empty() { &table.caption.sweep } else { &block.heading };
                @let region = format!("{heading}, table {}", 1 + position + 10 * number);
                @if !block.heading.is_empty() { h3 { (block.heading) } }
                div class="wide" tabindex="0" role="region" aria-label=(region) { (of_block(table, block)) }
            }
            @for pivot in &table.pivots { (of_pivot(table, pivot)) }
            p class="note" { (table.legend(&BOLD)) " Click a value to see its runs." }
            @if number == 0 { (notes(table)) }
        }
    }
}

/// What failed, what is to come, and the facts.
fn notes(table: &Table) -> Markup {
    html! {
        @if !table.footnotes.is_empty() { ol class="note" { @for note in &table.footnotes { li { (note) } } } }
        @if let Some(missing) = &table.to_come { p class="note" { (missing) } }
        // The first list is that of the claims, which have a section of their own.
        @for (heading, items) in table.lists().into_iter().skip(1) {
            @if !items.is_empty() {
                h3 { (heading) }
                ul class="note" { @for item in &items { li { (item) } } }
            }
        }
    }
}

fn of_block(table: &Table, block: &Block) -> Markup {
    html! {
        table class="sortable" {
            thead { (group_headings(table, block)) (headings(table, block)) }
            @if !block.published.is_empty() {
                tbody { @for line in &block.published { (quoted(line, block)) } }
            }
            tbody { @for line in block.rows() { (row(line, block)) } }
        }
    }
}

/// One metric by the values of an axis.
fn of_pivot(table: &Table, pivot: &Pivot) -> Markup {
    let heading = pivot.heading(&table.names);
    let names = 1 + pivot.others.len();
    html! {
        h3 { (heading) }
        div class="wide" tabindex="0" role="region" aria-label=(heading) {
            table {
                thead {
                    tr {
                        @for (position, column) in pivot.columns().iter().enumerate() {
                            th class=[(position < names).then_some("name")] scope="col" { (column) }
                        }
                    }
                }
                tbody {
                    @for line in &pivot.lines {
                        tr {
                            @for name in line.names() { td class="name" { (name) } }
                            @for cell in &line.cells { td { @if let Some(cell) = cell { (shown(cell)) } } }
                        }
                    }
                }
            }
        }
        @if let Some(drawing) = pivots::figure(pivot) {
            (legend(&pivots::labels(pivot)))
            (drawing.svg())
        }
    }
}

fn group_headings(table: &Table, block: &Block) -> Markup {
    let has_groups = block.groups.iter().any(|group| !group.heading.is_empty());
    let names = 1 + table.axes.len();
    html! {
        @if has_groups {
            tr {
                td colspan=(names) {}
                @for group in &block.groups { th colspan=(group.metrics.len()) scope="colgroup" { (group.heading) } }
                td {}
            }
        }
    }
}

fn headings(table: &Table, block: &Block) -> Markup {
    let metrics = block.groups.iter().flat_map(|group| &group.metrics);
    html! {
        tr {
            th class="name" scope="col" { "method" }
            @for axis in &table.axes { th class="name" scope="col" { (axis) } }
            @for metric in metrics { th scope="col" { (metric.heading()) } }
            th scope="col" { "runs" }
        }
    }
}

fn row(line: &Line, block: &Block) -> Markup {
    html! {
        tr class=[line.head.as_ref().map(|_| "head")] {
            th class="name" scope="row" { (line.name()) }
            @for setting in &line.settings { td class="name" { (setting) } }
            @for (part, group) in line.parts.iter().zip(&block.groups) { (part_of(part.as_ref(), group)) }
            td { (line.runs()) }
        }
    }
}

fn quoted(line: &Line, block: &Block) -> Markup {
    html! {
        tr {
            th class="name quoted" scope="row" { (line.method) " (published)" }
            @for setting in &line.settings { td class="name" { (setting) } }
            @for text in values(line, block, |cell, _| cell.text()) { td class="quoted" { (text) } }
            td {}
        }
    }
}

fn part_of(part: Option<&Part>, group: &Group) -> Markup {
    let Some(part) = part else {
        return html! { @for _ in &group.metrics { td {} } };
    };
    // The first cell bears the footnote.
    let footnotes = std::iter::once(part.footnote).chain(std::iter::repeat(None));
    let cells = part
        .cells
        .iter()
        .zip(&group.metrics)
        .zip(footnotes)
        .enumerate();
    html! {
        @for (position, ((cell, metric), footnote)) in cells {
            (value(cell, *metric, part, position, footnote))
        }
    }
}

fn value(
    cell: &Cell,
    metric: Metric,
    part: &Part,
    position: usize,
    footnote: Option<usize>,
) -> Markup {
    let class = match cell.significance {
        Some(Significance::Best) => "best",
        Some(
            Significance::Equal
            | Significance::NotDistinguishable
            | Significance::Worse
            | Significance::TooFew,
        )
        | None => "other",
    };
    let (mean, _) = cell.numbers();
    html! {
        td class=(class) data-value=[mean] {
            details {
                summary { (shown(cell)) (superscript(footnote)) }
                ul aria-label=(metric.heading()) { (of_runs(&part.results, position)) }
            }
        }
    }
}

fn shown(cell: &Cell) -> Markup {
    let mark = match cell.significance {
        Some(Significance::Equal) => "=",
        Some(Significance::NotDistinguishable) => "≈",
        Some(Significance::Best | Significance::Worse | Significance::TooFew) | None => "",
    };
    let words = match &cell.value {
        Value::Measured(summary) => html! {
            (percent(summary.mean))
            @if let Some(half_width) = summary.half_width { span class="half" { " ± " (percent(half_width)) } }
        },
        Value::Published(_) | Value::Broken(_) | Value::Failed | Value::Missing => {
            html! { (cell.text()) }
        }
    };
    html! {
        (words)
        span class="mark" { (mark) }
        (cell.tie_mark())
        (cell.share())
    }
}

/// The most runs that a cell lists.
const LISTED: usize = 100;

fn of_runs(results: &[RunResult], position: usize) -> Markup {
    html! {
        @for result in results.iter().take(LISTED) { li { (of_run(result, position)) } }
        @if results.len() > LISTED { li { (results.len() - LISTED) " more in " code { "results.csv" } } }
    }
}

/// `seed 0, fold 1: 79.85, 4ed6c5418dcc2a3d`.
fn of_run(result: &RunResult, position: usize) -> Markup {
    let value = result.values.get(position).copied().flatten().map(percent);
    html! {
        "seed " (result.seed)
        @if let Some(fold) = result.fold { ", fold " (u64::from(fold.index) + 1) }
        ": " (value.unwrap_or_else(|| result.state.to_owned())) " " code { (result.run) }
    }
}
