//! What `sweep show` tells of one thing that a sweep file can name, as data, and as text.

use serde::Serialize;
use serde_json::Value;

use super::in_toml;

/// One thing that a sweep file can name.
#[derive(Default, Serialize)]
pub(super) struct Entry {
    pub(super) name: String,
    /// The first line of its text.
    #[serde(skip)]
    pub(super) heading: String,
    /// As it stands in a sweep file, with its defaults.
    pub(super) written: Option<String>,
    /// The formula of a loss, the reason of a rule, the meaning of anything else.
    pub(super) description: String,
    pub(super) source: Option<String>,
    /// The ranges in which the Reality Check searched.
    pub(super) published_search: Option<String>,
    pub(super) settings: Vec<Setting>,
    /// True if the text has the settings, too.
    #[serde(skip)]
    pub(super) is_detailed: bool,
    /// What is known of a data set before it is downloaded.
    pub(super) data: Option<DataFacts>,
    /// True if a rule of fairness binds under a protocol.
    pub(super) is_binding: Option<bool>,
    /// The last line of its text: where to read on.
    #[serde(skip)]
    pub(super) hint: Option<String>,
    /// The content of a file that comes with the program. It is all that is shown.
    pub(super) text: Option<String>,
}

/// One setting.
#[derive(Serialize)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) meaning: String,
    /// Its values, if they are names.
    pub(super) values: Vec<String>,
    pub(super) default: Option<Value>,
    pub(super) is_required: bool,
}

/// What is known of a data set before it is downloaded.
#[derive(Serialize)]
pub(super) struct DataFacts {
    pub(super) training_classes: Option<u32>,
    pub(super) recall_at: Vec<u32>,
    /// The command that adds it.
    pub(super) add: String,
}

impl Entry {
    /// An entry that is a text of its own.
    pub(super) fn of_text(name: &str, text: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            text: Some(text.trim_end().to_owned()),
            ..Entry::default()
        }
    }

    /// Returns the entry as a paragraph.
    pub(super) fn paragraph(&self) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        let mut lines = vec![self.description.clone()];
        lines.extend(self.source.clone());
        let searched = self.published_search.iter();
        lines.extend(searched.map(|ranges| format!("searched by the Reality Check in {ranges}")));
        if self.is_detailed {
            lines.extend(setting_lines(&self.settings));
        }
        lines.extend(self.data.iter().flat_map(DataFacts::lines));
        lines.extend(self.hint.clone());
        let lines = lines.into_iter().map(|line| format!("\n    {line}"));
        self.heading.clone() + &lines.collect::<String>()
    }
}

/// A line for each setting, their meanings below each other.
fn setting_lines(settings: &[Setting]) -> Vec<String> {
    let lengths = settings.iter().map(|setting| setting.name.len());
    let width = lengths.max().unwrap_or(0);
    settings.iter().map(|setting| setting.line(width)).collect()
}

impl Setting {
    fn line(&self, width: usize) -> String {
        let quoted: Vec<String> = self
            .values
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect();
        let values = match quoted.is_empty() {
            true => String::new(),
            false => format!(" One of {}.", quoted.join(", ")),
        };
        let default = match (&self.default, self.is_required) {
            (Some(default), _) => format!(" Default: {}", in_toml(default)),
            (None, true) => " Has to be given.".to_owned(),
            (None, false) => String::new(),
        };
        let line = format!("{:width$}  {}{values}{default}", self.name, self.meaning);
        line.trim_end().to_owned()
    }
}

impl DataFacts {
    fn lines(&self) -> Vec<String> {
        let classes = self.training_classes.iter();
        let mut lines: Vec<String> = classes
            .map(|classes| format!("trained on {classes} classes"))
            .collect();
        let recall: Vec<String> = self.recall_at.iter().map(u32::to_string).collect();
        lines.push(format!("Recall@{}", recall.join(", ")));
        lines.push(self.add.clone());
        lines
    }
}
