//! The numbers of a table as LaTeX macros, so that those in prose are those of the table.

use std::collections::BTreeSet;

use schema::visible::one_line;

use crate::{Table, flat::FlatCell, model::Value, number::percent, text::plain};

/// Returns what a number is, or an error where there is none: a number that is gone stops the paper.
const COMMAND: &str = "\
\\providecommand{\\sweepresult}[4][mean]{%
  \\ifcsname sweep@#2@#3@#4@#1\\endcsname\\csname sweep@#2@#3@#4@#1\\endcsname
  \\else\\PackageError{sweep}{There is no result [#1]{#2}{#3}{#4}}{Look into the file of macros.}\\fi}
";

impl Table {
    /// Returns a macro for each number: the mean in percent, half the width of its interval (`ci`), and the
    /// number of runs (`n`).
    pub fn macros(&self) -> String {
        let cells = self.cells();
        let mut measured: Vec<&FlatCell<'_>> = cells.iter().collect();
        measured.retain(|flat| matches!(flat.cell.value, Value::Measured(_)));
        let sweep = &self.caption.sweep;
        let mut text = format!(
            "% The numbers of `{sweep}`, made with `{}`.\n\
             % \\sweepresult{{{sweep}}}{{ROW}}{{METRIC}} is a mean in percent, \\sweepresult[ci]{{..}}{{..}}{{..}} half the width of\n\
             % its interval, and \\sweepresult[n]{{..}}{{..}}{{..}} the number of runs. The rows:\n",
            one_line(&self.caption.command)
        );
        let mut keys = Keys::default();
        let keyed: Vec<(String, &FlatCell<'_>)> = measured
            .into_iter()
            .map(|flat| (keys.of(&self.row_name(flat)), flat))
            .collect();
        for (name, key) in &keys.0 {
            text.push_str(&format!("%   {key}: {}\n", one_line(name)));
        }
        text.push_str(COMMAND);
        for (key, flat) in keyed {
            let Value::Measured(summary) = &flat.cell.value else {
                continue;
            };
            let numbers = [
                ("mean", Some(percent(summary.mean))),
                ("ci", summary.half_width.map(percent)),
                ("n", Some(flat.cell.runs.to_string())),
            ];
            for (kind, number) in numbers {
                let Some(number) = number else { continue };
                let metric = flat.metric;
                text.push_str(&format!(
                    "\\expandafter\\def\\csname sweep@{sweep}@{key}@{metric}@{kind}\\endcsname{{{number}}}\n"
                ));
            }
        }
        text
    }

    /// The data set and its folds, if there are several, the method and its settings.
    fn row_name(&self, flat: &FlatCell<'_>) -> String {
        let mut parts = Vec::new();
        if self.blocks.len() > 1 || self.blocks.iter().any(|block| block.groups.len() > 1) {
            parts.push(self.dataset_of(flat.shows).to_owned());
            parts.extend(flat.shows.together.map(|together| together.to_string()));
        }
        parts.push(flat.line.method.clone());
        parts.extend(flat.line.head.clone());
        let settings = flat.line.settings.iter();
        parts.extend(settings.filter(|setting| !setting.is_empty()).cloned());
        parts.join(", ")
    }
}

/// What rows are named in macros: small letters, digits and hyphens.
#[derive(Default)]
struct Keys(Vec<(String, String)>);

impl Keys {
    /// The key of a row, another one for each.
    fn of(&mut self, name: &str) -> String {
        if let Some((_, key)) = self.0.iter().find(|(known, _)| known == name) {
            return key.clone();
        }
        let taken: BTreeSet<&str> = self.0.iter().map(|(_, key)| key.as_str()).collect();
        let plain = plain(name);
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        let mut candidates = std::iter::once(plain.clone()).chain(numbered);
        let key = candidates.find(|key| !taken.contains(key.as_str()));
        let key = key.unwrap_or(plain);
        self.0.push((name.to_owned(), key.clone()));
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_key_of_its_own() {
        let mut keys = Keys::default();
        let names = [
            "Triplet, semi-hard",
            "Triplet (semi hard)",
            "三",
            "Triplet, semi-hard",
        ];
        let found = names.map(|name| keys.of(name));
        let expected = [
            "triplet-semi-hard",
            "triplet-semi-hard-2",
            "row",
            "triplet-semi-hard",
        ];
        assert_eq!(found, expected);
    }
}
