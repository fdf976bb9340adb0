//! The critical-difference diagram (Demšar, JMLR 2006): mean ranks on an axis, the best at the left,
//! and a bar below every group of methods whose ranks do not differ significantly.

use crate::drawing::{Anchor, Drawing, Ink, Mark, line, words};

const WIDTH: f64 = 720.0;
/// Start and end of the axis; names are beside it.
const LEFT: f64 = 200.0;
const RIGHT: f64 = 520.0;
const AXIS: f64 = 76.0;
const LINE: f64 = 20.0;
const BAR: f64 = 8.0;

/// Returns the diagram.
///
/// `methods` are names with mean ranks from [`super::friedman`]; `difference` is the critical one,
/// from [`super::nemenyi_difference`].
pub(crate) fn critical_difference_diagram(methods: &[(String, f64)], difference: f64) -> Drawing {
    let diagram = Diagram::new(methods, difference);
    let marks = [
        diagram.critical_difference(),
        diagram.axis(),
        diagram.bars(),
        diagram.methods(),
    ];
    Drawing {
        width: WIDTH,
        height: diagram.height(),
        title: "Mean ranks of the methods; bars join those that do not differ significantly"
            .to_owned(),
        marks: marks.concat(),
    }
}

/// What the diagram shows.
struct Diagram<'a> {
    /// Names with mean ranks, the best first.
    sorted: Vec<(&'a str, f64)>,
    /// First and last method of each group without a significant difference.
    groups: Vec<(usize, usize)>,
    difference: f64,
}

impl<'a> Diagram<'a> {
    fn new(methods: &'a [(String, f64)], difference: f64) -> Diagram<'a> {
        let named = methods.iter().map(|(name, rank)| (name.as_str(), *rank));
        let mut sorted: Vec<(&str, f64)> = named.collect();
        sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
        let ranks: Vec<f64> = sorted.iter().map(|(_, rank)| *rank).collect();
        Diagram {
            sorted,
            groups: groups(&ranks, difference),
            difference,
        }
    }

    /// Returns the number of methods at the left, the better half.
    fn half(&self) -> usize {
        self.sorted.len().div_ceil(2)
    }

    /// Returns the height at which the names begin, below the bars.
    fn names_top(&self) -> f64 {
        AXIS + 22.0 + BAR * self.groups.len() as f64
    }

    fn height(&self) -> f64 {
        self.names_top() + LINE * self.half() as f64 + 8.0
    }

    /// Returns the last rank on the axis.
    fn last_rank(&self) -> usize {
        self.sorted.len().max(2)
    }

    /// Returns the horizontal position of a rank.
    fn x(&self, rank: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (rank - 1.0) / (self.last_rank() as f64 - 1.0)
    }

    /// Returns the critical difference, to scale, above the axis.
    fn critical_difference(&self) -> Vec<Mark> {
        let start = self.x(1.0);
        let end = self.x(1.0 + self.difference).min(WIDTH - 10.0);
        let label = format!("critical difference {:.2}", self.difference);
        vec![
            line(&[(start, 34.0), (end, 34.0)], 1.5, Ink::Text),
            line(&[(start, 30.0), (start, 38.0)], 1.5, Ink::Text),
            line(&[(end, 30.0), (end, 38.0)], 1.5, Ink::Text),
            words((0.5 * (start + end), 22.0), Anchor::Around, &label),
        ]
    }

    /// Returns the axis with a tick and a number for each rank.
    fn axis(&self) -> Vec<Mark> {
        let mut elements = vec![line(&[(LEFT, AXIS), (RIGHT, AXIS)], 1.5, Ink::Text)];
        for rank in 1..=self.last_rank() {
            let x = self.x(rank as f64);
            elements.push(line(&[(x, AXIS - 6.0), (x, AXIS)], 1.5, Ink::Text));
            elements.push(words((x, AXIS - 10.0), Anchor::Around, &rank.to_string()));
        }
        elements
    }

    /// Returns a bar for each group, one below the other.
    fn bars(&self) -> Vec<Mark> {
        let mut elements = Vec::new();
        for (index, &(first, last)) in self.groups.iter().enumerate() {
            let y = AXIS + 12.0 + BAR * index as f64;
            let left = self.x(self.sorted[first].1) - 3.0;
            let right = self.x(self.sorted[last].1) + 3.0;
            elements.push(line(&[(left, y), (right, y)], 4.0, Ink::Series(0)));
        }
        elements
    }

    /// Returns the names with lines to their ranks: the better half at the left, top down, the others at the right,
    /// bottom up.
    fn methods(&self) -> Vec<Mark> {
        let mut elements = Vec::new();
        for (index, &(name, rank)) in self.sorted.iter().enumerate() {
            let is_left = index < self.half();
            let row = if is_left {
                index
            } else {
                self.sorted.len() - 1 - index
            };
            let (edge, anchor, away) = if is_left {
                (LEFT - 20.0, Anchor::Before, -6.0)
            } else {
                (RIGHT + 20.0, Anchor::After, 6.0)
            };
            let (x, y) = (self.x(rank), self.names_top() + LINE * row as f64 + 4.0);
            elements.push(line(&[(x, AXIS), (x, y), (edge, y)], 1.0, Ink::Text));
            let label = format!("{name} ({rank:.2})");
            elements.push(words((edge + away, y + 4.5), anchor, &label));
        }
        elements
    }
}

/// Returns the maximal runs of at least two sorted ranks within the difference, as (first, last).
fn groups(ranks: &[f64], difference: f64) -> Vec<(usize, usize)> {
    let mut groups: Vec<(usize, usize)> = Vec::new();
    for first in 0..ranks.len() {
        let last = ranks
            .iter()
            .rposition(|rank| rank - ranks[first] < difference)
            .unwrap_or(first);
        if last > first && groups.last().is_none_or(|group| last > group.1) {
            groups.push((first, last));
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_maximal_and_never_alone() {
        assert_eq!(groups(&[1.0, 1.5, 2.4, 3.9], 1.0), [(0, 1), (1, 2)]);
        assert_eq!(groups(&[1.0, 1.2, 1.4], 5.0), [(0, 2)]);
        assert_eq!(groups(&[1.0, 3.0], 1.0), []);
    }

    #[test]
    fn names_are_escaped_in_every_format() {
        let diagram = critical_difference_diagram(
            &[("a<b>&c_%".to_owned(), 1.0), ("d".to_owned(), 2.0)],
            0.5,
        );
        let (svg, tikz) = (diagram.svg_file(), diagram.tikz());
        assert!(svg.contains("a&lt;b&gt;&amp;c_% (1.00)"), "{svg}");
        assert!(
            tikz.contains("a\\textless{}b\\textgreater{}\\&c\\_\\% (1.00)"),
            "{tikz}"
        );
    }
}
