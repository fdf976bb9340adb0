//! A figure as data: lines, areas, dots and words on a sheet, rendered as SVG or as TikZ.
//!
//! Colors are roles ([`Ink`]). An SVG names them as classes: a page decides what they look like, in a light or
//! a dark theme, and a file of its own brings [`STYLE`] along.

use maud::{Markup, PreEscaped, html};

use crate::{tex, text::one_line};

/// The number of series that can be told apart.
pub(crate) const DISTINCT: usize = COLORS * DASHES.len();

/// What the roles look like. The series are the colors of Okabe & Ito, which color-blind readers can tell
/// apart, darkened until they contrast with the paper.
pub(crate) const STYLE: &str = include_str!("drawing.css");

/// The number of distinct colors of series. Further series have the same colors in another dash.
const COLORS: usize = 6;

/// The dashes of lines as options of TikZ; a style sheet calls them `d1`, `d2` and so on.
const DASHES: [&str; 4] = ["", ",dashed", ",dotted", ",dashdotted"];

/// The role of a color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Words and axes.
    Text,
    /// Lines of a grid, and what is of less importance.
    Faint,
    /// One of several things that are compared.
    Series(usize),
}

/// Where the words are, seen from their position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Before,
    Around,
    After,
}

/// A position, from the upper left corner.
pub(crate) type Point = (f64, f64);

/// One element of a figure. A tip is shown where a pointer rests on it; an empty one is not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mark {
    Line {
        points: Vec<Point>,
        width: f64,
        ink: Ink,
        tip: String,
    },
    Area {
        points: Vec<Point>,
        ink: Ink,
    },
    Dot {
        at: Point,
        radius: f64,
        ink: Ink,
        tip: String,
    },
    Words {
        at: Point,
        anchor: Anchor,
        text: String,
        ink: Ink,
    },
}

/// A figure of a fixed size in pixels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drawing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// What it shows, for those who cannot see it.
    pub(crate) title: String,
    pub(crate) marks: Vec<Mark>,
}

/// A line without a tip.
pub(crate) fn line(points: &[Point], width: f64, ink: Ink) -> Mark {
    Mark::Line {
        points: points.to_vec(),
        width,
        ink,
        tip: String::new(),
    }
}

/// Words whose base line begins, has its middle or ends at a position.
pub(crate) fn words(at: Point, anchor: Anchor, text: &str) -> Mark {
    Mark::Words {
        at,
        anchor,
        text: one_line(text),
        ink: Ink::Text,
    }
}

impl Drawing {
    /// Returns the figure as an element of a page.
    pub(crate) fn svg(&self) -> Markup {
        let size = format!("0 0 {} {}", self.width, self.height);
        html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(size) width=(self.width) height=(self.height)
                role="img" aria-label=(self.title) {
                @for mark in &self.marks { (mark.svg()) }
            }
        }
    }

    /// Returns the figure as an SVG file.
    pub(crate) fn svg_file(&self) -> String {
        let size = format!("0 0 {} {}", self.width, self.height);
        let markup = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(size) width=(self.width) height=(self.height)
                role="img" aria-label=(self.title) {
                style { (PreEscaped(STYLE)) }
                rect class="paper" width="100%" height="100%" {}
                @for mark in &self.marks { "\n" (mark.svg()) }
                "\n"
            }
        };
        markup.into_string() + "\n"
    }

    /// Returns the figure as a TikZ picture that is no wider than a line.
    pub(crate) fn tikz(&self) -> String {
        let marks: Vec<String> = self.marks.iter().map(Mark::tikz).collect();
        let picture = format!(
            "\\begin{{tikzpicture}}[x=0.6pt,y=-0.6pt,font=\\footnotesize,inner sep=0pt]\n{}\n\\end{{tikzpicture}}",
            marks.join("\n")
        );
        format!(
            "% Needs \\usepackage{{tikz,graphicx}} and \\usepackage[T1]{{fontenc}}.\n{}{}\n",
            tex::PROVIDED,
            tex::fitted(&picture)
        )
    }
}

impl Ink {
    pub(crate) fn class(self) -> String {
        match (self, self.dash()) {
            (Ink::Text, _) => "ink".to_owned(),
            (Ink::Faint, _) => "faint".to_owned(),
            (Ink::Series(number), 0) => format!("s{}", number % COLORS),
            (Ink::Series(number), dash) => format!("s{} d{dash}", number % COLORS),
        }
    }

    /// The position of its dash.
    fn dash(self) -> usize {
        match self {
            Ink::Text | Ink::Faint => 0,
            Ink::Series(number) => number / COLORS % DASHES.len(),
        }
    }

    fn tikz(self) -> &'static str {
        match self {
            Ink::Text => "black",
            Ink::Faint => "gray",
            Ink::Series(number) => {
                ["blue", "orange", "teal", "purple", "brown", "olive"][number % COLORS]
            }
        }
    }
}

impl Anchor {
    fn svg(self) -> &'static str {
        match self {
            Anchor::Before => "end",
            Anchor::Around => "middle",
            Anchor::After => "start",
        }
    }

    fn tikz(self) -> &'static str {
        match self {
            Anchor::Before => "base east",
            Anchor::Around => "base",
            Anchor::After => "base west",
        }
    }
}

impl Mark {
    fn svg(&self) -> Markup {
        match self {
            Mark::Line {
                points,
                width,
                ink,
                tip,
            } => {
                let class = format!("line {}", ink.class());
                html! {
                    polyline points=(joined(points, " ")) class=(class) stroke-width=(width) { (title(tip)) }
                }
            }
            Mark::Area { points, ink } => {
                let class = format!("area {}", ink.class());
                html! { polygon points=(joined(points, " ")) class=(class) {} }
            }
            Mark::Dot {
                at,
                radius,
                ink,
                tip,
            } => {
                let class = format!("dot {}", ink.class());
                html! {
                    circle cx=(short(at.0)) cy=(short(at.1)) r=(radius) class=(class) { (title(tip)) }
                }
            }
            Mark::Words {
                at,
                anchor,
                text,
                ink,
            } => {
                let class = format!("words {}", ink.class());
                html! {
                    text x=(short(at.0)) y=(short(at.1)) text-anchor=(anchor.svg()) class=(class) { (text) }
                }
            }
        }
    }

    fn tikz(&self) -> String {
        match self {
            Mark::Line {
                points, width, ink, ..
            } => {
                let points = joined_as_tikz(points);
                let width = short(0.6 * width);
                let dash = DASHES[ink.dash()];
                format!(
                    "\\draw[{}{dash},line width={width}pt] {points};",
                    ink.tikz()
                )
            }
            Mark::Area { points, ink } => {
                let points = joined_as_tikz(points);
                format!("\\fill[{},opacity=0.2] {points} -- cycle;", ink.tikz())
            }
            Mark::Dot {
                at, radius, ink, ..
            } => {
                let radius = short(0.6 * radius);
                let (x, y) = (short(at.0), short(at.1));
                format!(
                    "\\fill[{}] ({x},{y}) circle[radius={radius}pt];",
                    ink.tikz()
                )
            }
            Mark::Words {
                at,
                anchor,
                text,
                ink,
            } => format!(
                "\\node[{},anchor={}] at ({},{}) {{{}}};",
                ink.tikz(),
                anchor.tikz(),
                short(at.0),
                short(at.1),
                tex::escape(text)
            ),
        }
    }
}

fn title(tip: &str) -> Markup {
    html! { @if !tip.is_empty() { title { (tip) } } }
}

fn joined(points: &[Point], between: &str) -> String {
    let points = points
        .iter()
        .map(|(x, y)| format!("{},{}", short(*x), short(*y)));
    points.collect::<Vec<_>>().join(between)
}

fn joined_as_tikz(points: &[Point]) -> String {
    format!("({})", joined(points, ") -- ("))
}

/// A tenth of a pixel is precise enough.
fn short(length: f64) -> String {
    let text = format!("{length:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
