//! The critical-difference diagram (Demšar, JMLR 2006): mean ranks on an axis, the best at the left,
//! and a bar below every group of methods whose ranks do not differ significantly.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
/// Start and end of the axis; names are beside it.
const LEFT: f64 = 200.0;
const RIGHT: f64 = 520.0;
const AXIS: f64 = 76.0;
const LINE: f64 = 20.0;
const BAR: f64 = 8.0;

/// Returns the diagram as an SVG document.
///
/// `methods` are names with mean ranks from [`super::friedman`]; `difference` is the critical one,
/// from [`super::nemenyi_difference`].
pub fn critical_difference_diagram(methods: &[(&str, f64)], difference: f64) -> String {
    let mut sorted: Vec<(&str, f64)> = methods.to_vec();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    let ranks: Vec<f64> = sorted.iter().map(|(_, rank)| *rank).collect();
    let last = methods.len().max(2);
    let x = |rank: f64| LEFT + (RIGHT - LEFT) * (rank - 1.0) / (last as f64 - 1.0);
    let groups = groups(&ranks, difference);
    let names = AXIS + 22.0 + BAR * groups.len() as f64;
    let half = sorted.len().div_ceil(2);
    let height = names + LINE * half as f64 + 8.0;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\" stroke-linecap=\"round\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"white\"/>\n"
    );
    let mut put = |element: String| {
        svg.push_str(&element);
        svg.push('\n');
    };
    // The critical difference, to scale, above the axis.
    let end = x(1.0 + difference).min(WIDTH - 10.0);
    put(line((x(1.0), 34.0), (end, 34.0), 1.5));
    put(line((x(1.0), 30.0), (x(1.0), 38.0), 1.5));
    put(line((end, 30.0), (end, 38.0), 1.5));
    put(text(
        (0.5 * (x(1.0) + end), 22.0),
        "middle",
        &format!("critical difference {difference:.2}"),
    ));
    put(line((LEFT, AXIS), (RIGHT, AXIS), 1.5));
    for rank in 1..=last {
        put(line(
            (x(rank as f64), AXIS - 6.0),
            (x(rank as f64), AXIS),
            1.5,
        ));
        put(text(
            (x(rank as f64), AXIS - 10.0),
            "middle",
            &rank.to_string(),
        ));
    }
    for (place, (from, to)) in groups.iter().enumerate() {
        let y = AXIS + 12.0 + BAR * place as f64;
        put(line(
            (x(ranks[*from]) - 3.0, y),
            (x(ranks[*to]) + 3.0, y),
            4.0,
        ));
    }
    for (place, (name, rank)) in sorted.iter().enumerate() {
        // The better half is at the left, top down; the other at the right, bottom up.
        let (row, edge, anchor, away) = if place < half {
            (place, LEFT - 20.0, "end", -6.0)
        } else {
            (sorted.len() - 1 - place, RIGHT + 20.0, "start", 6.0)
        };
        let y = names + LINE * row as f64 + 4.0;
        put(format!(
            "<polyline points=\"{:.1},{AXIS} {:.1},{y:.1} {edge},{y:.1}\" fill=\"none\" stroke=\"black\"/>",
            x(*rank),
            x(*rank)
        ));
        put(text(
            (edge + away, y + 4.5),
            anchor,
            &format!("{name} ({rank:.2})"),
        ));
    }
    svg.push_str("</svg>\n");
    svg
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

fn line(from: (f64, f64), to: (f64, f64), width: f64) -> String {
    format!(
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"black\" stroke-width=\"{width}\"/>",
        from.0, from.1, to.0, to.1
    )
}

fn text(at: (f64, f64), anchor: &str, words: &str) -> String {
    let mut escaped = String::new();
    for letter in words.chars() {
        let _ = match letter {
            '&' => write!(escaped, "&amp;"),
            '<' => write!(escaped, "&lt;"),
            '>' => write!(escaped, "&gt;"),
            other => write!(escaped, "{other}"),
        };
    }
    format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{escaped}</text>",
        at.0, at.1
    )
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
    fn names_are_escaped() {
        let svg = critical_difference_diagram(&[("a<b>&c", 1.0), ("d", 2.0)], 0.5);
        assert!(svg.contains("a&lt;b&gt;&amp;c (1.00)"), "{svg}");
    }
}
