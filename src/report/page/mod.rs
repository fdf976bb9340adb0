//! The report as one page: HTML with everything in it, so that it opens without a network, without scripts, on a
//! phone and on paper.
//!
//! [`page`] puts sections below each other; `tables` renders the tables, and the other modules draw figures, each a function
//! of the values that it shows, on a `plane`. A script sorts tables and does nothing else.

mod courses;
mod figures;
mod pivots;
mod plane;
mod searches;
mod tables;

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use schema::{Metric, visible::visible};

use crate::{
    Statistics, Table,
    drawing::{DISTINCT, Ink, STYLE},
    training::Training,
};

/// What a page shows, apart from tables and statistics.
#[derive(Default)]
pub struct Page<'a> {
    /// The tables of all layouts; the first has the claims.
    pub tables: &'a [Table],
    /// The statistics, if there is anything to compare.
    pub statistics: Option<&'a Statistics>,
    /// The learning curves of all runs.
    pub trainings: &'a [Training],
    /// The searches for settings.
    pub searches: &'a [Search],
    /// The jobs that failed.
    pub failures: &'a [FailedJob],
    /// Queries with what was retrieved for them.
    pub retrievals: &'a [Retrieval],
    /// How long the jobs of each kind took.
    pub timings: &'a [Timing],
    /// The settings of the sweep, each with where it comes from.
    pub origins: &'a [SettingOrigin],
    /// Where and with what the sweep was run: names and values.
    pub environment: &'a [(String, String)],
    /// The time after which a browser loads the page again, if it is to.
    pub refresh: Option<Duration>,
}

/// The search for the settings of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// The row.
    pub title: String,
    /// What the trials are scored by.
    pub metric: Metric,
    /// The trials that finished, in their order.
    pub trials: Vec<SearchTrial>,
    /// How much each searched value matters for being among the best trials: keys with shares of 1, the largest first.
    /// Empty if the trials do not tell.
    pub importances: Vec<(String, f64)>,
    /// The number of the best trials.
    pub best: usize,
    /// The searched values that have bounds.
    pub ranges: Vec<SearchedRange>,
}

/// A searched value between its bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchedRange {
    /// The key in the sweep file.
    pub key: String,
    /// The lowest and the highest value.
    pub bounds: [String; 2],
    /// The values of the trials, from 0 at the lowest to 1 at the highest, along the scale of the range.
    pub trials: Vec<f64>,
    /// The selected value, likewise.
    pub selected: Option<f64>,
    /// True if the selected value is so close to a bound that better ones may be beyond it.
    pub is_at_bound: bool,
}

/// One trial of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchTrial {
    /// Its number, from 1.
    pub number: usize,
    /// Its mean score on the validation classes, as a fraction.
    pub score: f64,
    /// The searched values that are numbers, by key.
    pub values: Vec<(String, f64)>,
}

/// A job that failed, with the end of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedJob {
    /// What it was to do.
    pub title: String,
    /// What went wrong, in one sentence.
    pub message: String,
    /// The last lines of its log.
    pub log: String,
}

/// How long the jobs of one kind took.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// What they do, and for which row.
    pub title: String,
    /// The number of jobs.
    pub jobs: usize,
    /// The sum of their durations.
    pub seconds: f64,
}

/// A setting and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingOrigin {
    /// The key in the sweep file.
    pub key: String,
    /// Its value.
    pub value: String,
    /// The file and line, or where else it stands.
    pub from: String,
    /// True if it stands nowhere.
    pub is_default: bool,
}

/// Queries of one run with their nearest images.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieval {
    /// The row and the run.
    pub title: String,
    /// From the best to the worst.
    pub queries: Vec<RetrievedQuery>,
    /// The test images in two dimensions, each with the number of its class.
    pub map: Vec<((f64, f64), usize)>,
}

/// A query and its nearest images, the nearest first.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrievedQuery {
    /// `best`, `median` or `worst`.
    pub rank: &'static str,
    /// The query as a data URI.
    pub image: String,
    /// The nearest images as data URIs, and whether they are of the query's class.
    pub nearest: Vec<(String, bool)>,
}

/// A section of the page: its anchor, its heading and its content.
struct Section {
    id: &'static str,
    heading: &'static str,
    content: Markup,
}

/// Returns the page.
pub fn page(page: &Page<'_>) -> String {
    let sections = sections(page);
    let caption = page.tables.first().map(|table| &table.caption);
    let sweep = caption.map_or("", |caption| &caption.sweep);
    let command = caption.map_or("", |caption| &caption.command);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if let Some(pause) = page.refresh { meta http-equiv="refresh" content=(pause.as_secs()); }
                title { (sweep) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) (PreEscaped(include_str!("page.css"))) }
            }
            body {
                header {
                    h1 { (sweep) }
                    p class="note" { "Made with " code { (visible(command)) } }
                    nav aria-label="Sections" {
                        ul {
                            @for section in &sections {
                                li { a href={ "#" (section.id) } { (section.heading) } }
                            }
                        }
                    }
                }
                main {
                    @for section in &sections {
                        section id=(section.id) { h2 { (section.heading) } (section.content) }
                    }
                }
                script { (PreEscaped(include_str!("sort.js"))) }
            }
        }
    };
    markup.into_string() + "\n"
}

/// All sections that have anything to show.
fn sections(page: &Page<'_>) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut add = |id, heading, content: Option<Markup>| {
        sections.extend(content.map(|content| Section {
            id,
            heading,
            content,
        }));
    };
    let first = page.tables.first();
    add(
        "claims",
        "What can be claimed",
        first.and_then(tables::claims),
    );
    add("tables", "Tables", Some(tables::all(page.tables)));
    add(
        "intervals",
        "Means with intervals",
        first.and_then(intervals),
    );
    add(
        "ranks",
        "Ranks over data sets",
        page.statistics.and_then(ranks),
    );
    add("curves", "Learning curves", curves(page.trainings, first));
    add("searches", "Searches", searches(page.searches));
    add("retrieval", "Queries", retrievals(page.retrievals));
    add("map", "Test images", maps(page.retrievals));
    add("failures", "Failures", failures(page.failures));
    add("timings", "Time", timings(page.timings));
    add("file", "Settings", origins(page.origins));
    add("environment", "Environment", environment(page.environment));
    sections
}

fn intervals(table: &Table) -> Option<Markup> {
    let figures = figures::intervals(table);
    (!figures.is_empty()).then(|| {
        html! {
            div class="figures" { @for (caption, drawing) in &figures { (figure(caption, &drawing.svg())) } }
        }
    })
}

fn ranks(statistics: &Statistics) -> Option<Markup> {
    let rankings = &statistics.rankings;
    (!rankings.is_empty()).then(|| {
        html! {
            @for ranking in rankings {
                (figure("Mean ranks; bars join methods that do not differ significantly", &statistics.diagram(ranking).svg()))
            }
        }
    })
}

fn curves(trainings: &[Training], table: Option<&Table>) -> Option<Markup> {
    let best = table.and_then(courses::runs_of_the_best);
    let is_drawn = |run| best.as_ref().is_none_or(|best| best.contains(&run));
    let trainings = trainings.iter().filter(|training| is_drawn(training.run));
    let trainings: Vec<&Training> = trainings.collect();
    let groups = courses::curves(&trainings);
    (!groups.is_empty()).then(|| {
        html! {
            p class="note" {
                "Lines are means over the runs of a row, areas reach from the lowest to the highest run."
                @if best.is_some() {
                    " Of each data set, the " (DISTINCT) " rows with the highest means are drawn; " code { "curves.csv" }
                    " has all."
                }
            }
            @for group in &groups {
                h3 { (group.title) }
                (legend(&group.labels))
                div class="figures" { @for (caption, drawing) in &group.figures { (figure(caption, &drawing.svg())) } }
            }
        }
    })
}

fn searches(searches: &[Search]) -> Option<Markup> {
    let mut shown = searches
        .iter()
        .filter(|search| search.trials.len() > 1)
        .peekable();
    shown.peek()?;
    Some(html! {
        p class="note" {
            "Dots are trials, by their mean score on validation classes; the line is the best so far. Between bounds, the large \
             dot is the selected value; a wider range may contain better ones where it is orange."
        }
        @for search in shown {
            h3 { (search.title) }
            div class="figures" {
                @for (caption, drawing) in searches::search(search) { (figure(&caption, &drawing.svg())) }
            }
        }
    })
}

fn legend(labels: &[String]) -> Markup {
    html! {
        ul class="legend" {
            @for (number, label) in labels.iter().enumerate() {
                li class=(Ink::Series(number).class()) { (label) }
            }
        }
    }
}

fn figure(caption: &str, svg: &Markup) -> Markup {
    html! { figure { figcaption { (caption) } (svg) } }
}

fn retrievals(retrievals: &[Retrieval]) -> Option<Markup> {
    let mut shown = retrievals
        .iter()
        .filter(|retrieval| !retrieval.queries.is_empty())
        .peekable();
    shown.peek()?;
    Some(html! {
        p class="note" {
            "The first image is the query, the others are nearest to it. A green frame: of the same class; a dashed red one: of \
             another. Queries are ordered by average precision."
        }
        @for retrieval in shown {
            h3 { (retrieval.title) }
            div class="queries" { @for query in &retrieval.queries { (retrieved(query)) } }
        }
    })
}

fn retrieved(query: &RetrievedQuery) -> Markup {
    html! {
        div class="query" {
            span { (query.rank) }
            img class="asked" src=(query.image) alt="query";
            @for (image, is_right) in &query.nearest {
                @if *is_right { img class="right" src=(image) alt="same class"; }
                @else { img class="wrong" src=(image) alt="another class"; }
            }
        }
    }
}

fn maps(retrievals: &[Retrieval]) -> Option<Markup> {
    let mut shown = retrievals
        .iter()
        .filter(|retrieval| !retrieval.map.is_empty())
        .peekable();
    shown.peek()?;
    Some(html! {
        p class="note" {
            "Embeddings of test images of a few classes on their first two principal components; a color for each class."
        }
        div class="figures" {
            @for retrieval in shown { (figure(&retrieval.title, &figures::map(&retrieval.map).svg())) }
        }
    })
}

fn failures(failures: &[FailedJob]) -> Option<Markup> {
    (!failures.is_empty()).then(|| {
        html! {
            @for failed in failures {
                details {
                    summary { strong { (failed.title) } ": " (visible(&failed.message)) }
                    @if failed.log.is_empty() { p { "Its log is empty." } }
                    @else { pre tabindex="0" { (visible(&failed.log)) } }
                }
            }
        }
    })
}

fn timings(timings: &[Timing]) -> Option<Markup> {
    let all: f64 = timings.iter().map(|timing| timing.seconds).sum();
    (!timings.is_empty()).then(|| {
        html! {
            p { "All jobs took " (duration(all)) " together." }
            div class="wide" tabindex="0" role="region" aria-label="Time" {
                table class="sortable" {
                    thead { tr { th class="name" { "jobs" } th { "number" } th { "each" } th { "together" } } }
                    tbody {
                        @for timing in timings {
                            tr {
                                th class="name" scope="row" { (timing.title) }
                                td { (timing.jobs) }
                                td data-value=(timing.seconds / timing.jobs as f64) {
                                    (duration(timing.seconds / timing.jobs as f64))
                                }
                                td data-value=(timing.seconds) { (duration(timing.seconds)) }
                            }
                        }
                    }
                }
            }
        }
    })
}

/// `1 h 02 min`, `3 min 20 s` or `4.2 s`.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// What the sweep file says, and, folded, what it does not.
fn origins(origins: &[SettingOrigin]) -> Option<Markup> {
    let (defaults, written): (Vec<&SettingOrigin>, Vec<&SettingOrigin>) =
        origins.iter().partition(|origin| origin.is_default);
    (!origins.is_empty()).then(|| {
        html! {
            (of_origins("Settings", &written))
            @if !defaults.is_empty() {
                details { summary { "Defaults of everything else" } (of_origins("Defaults", &defaults)) }
            }
        }
    })
}

fn of_origins(label: &str, origins: &[&SettingOrigin]) -> Markup {
    html! {
        div class="wide" tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr { th class="name" { "key" } th class="name" { "value" } th class="name" { "from" } } }
                tbody {
                    @for origin in origins {
                        tr {
                            td class="name" { code { (visible(&origin.key)) } }
                            td class="name" { code { (visible(&origin.value)) } }
                            td class="name" { (visible(&origin.from)) }
                        }
                    }
                }
            }
        }
    }
}

fn environment(environment: &[(String, String)]) -> Option<Markup> {
    (!environment.is_empty()).then(|| {
        html! {
            dl { @for (name, value) in environment { dt { (name) } dd { (visible(value)) } } }
        }
    })
}

#[cfg(test)]
mod tests;
