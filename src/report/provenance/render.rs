//! Provenance as Markdown and as CSV.

use std::{borrow::Cow, collections::BTreeMap};

use schema::Computation;

use super::{
    Compared, Cost, EverMeasured, OriginLine, Provenance, RunOrigin, counted, in_hours, memory,
    seconds,
};
use crate::{
    ReportError,
    csv::{optional, text},
    markdown::row,
    text::{as_field, escape, field},
};

/// What an attempt tells about itself.
type Value = fn(&Computation) -> Option<&str>;

/// Stands for what is not known.
const NONE: &str = "–";

const FIELDS: [&str; 17] = [
    "seed",
    "fold",
    "run",
    "device",
    "driver",
    "sweep",
    "trainer",
    "libtorch",
    "ended",
    "attempts",
    "seconds",
    "images_per_second",
    "memory_bytes",
    "parameters",
    "metric",
    "validation",
    "test",
];

impl Provenance {
    /// Returns the origins as Markdown: a summary, and a line for each row of the table.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}: where the numbers come from\n\n", escape(&self.sweep));
        for fact in self.facts() {
            text.push_str(&format!("- {}\n", escape(&fact)));
        }
        for of_panel in self.lines.chunk_by(|a, b| a.panel == b.panel) {
            let panel = self.names.title(of_panel[0].panel.dataset);
            text.push_str(&format!("\n## {}\n\n", escape(panel)));
            text.push_str(&self.table(of_panel));
        }
        text.push_str(&format!("\n{NOTE}\n"));
        text
    }

    fn table(&self, lines: &[OriginLine]) -> String {
        let headings = [
            "method",
            "parameters",
            "images/s",
            "hours",
            "memory",
            "metric",
            "validation",
            "test",
        ];
        let rule = [
            ":---", "---:", "---:", "---:", "---:", ":---", "---:", "---:",
        ];
        let mut text = row(headings.iter());
        text.push_str(&row(rule.iter()));
        for line in lines {
            let percent = |value: fn(&Compared) -> f64| {
                or_none(
                    line.compared
                        .map(|compared| format!("{:.2}", 100.0 * value(&compared))),
                )
            };
            let cells = [
                escape(&self.names.row(&line.row)),
                or_none(line.parameters.map(|count| count.to_string())),
                or_none(line.images_per_second.map(|speed| format!("{speed:.0}"))),
                or_none(line.hours.map(|hours| format!("{hours:.3}"))),
                or_none(line.memory.map(gigabytes)),
                or_none(line.compared.map(|compared| compared.metric.heading())),
                percent(|compared| compared.validation),
                percent(|compared| compared.test),
            ];
            text.push_str(&row(cells.iter()));
        }
        text
    }

    /// Returns what is true of all results, one sentence each.
    fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        let of_runs: [(&str, Value); 4] = [
            ("Orchestrated by sweep", |last| Some(&last.sweep)),
            ("Trained and measured by", |last| Some(&last.trainer)),
            ("With libtorch", |last| {
                last.host.as_ref()?.libtorch.as_deref()
            }),
            ("With driver", |last| {
                Some(&last.host.as_ref()?.gpu.as_ref()?.driver)
            }),
        ];
        for (what, value) in of_runs {
            facts.extend(self.values(value).map(|values| format!("{what} {values}.")));
        }
        let devices = self.devices();
        if !devices.is_empty() {
            facts.push(format!("Computed on {}.", listed(&devices)));
        }
        facts.extend(self.period());
        facts.push(self.cost());
        let shown = counted(self.runs.len(), "run");
        let made = counted(self.tried.runs, "run");
        facts.push(format!(
            "The tables show {shown}; {made} of the sweep have a result."
        ));
        facts.extend(self.tried.measured.iter().map(|ever| self.ever(ever)));
        facts
    }

    /// Returns the values of all runs, each with the number of its runs if there are several.
    fn values(&self, value: Value) -> Option<String> {
        let mut values: BTreeMap<&str, usize> = BTreeMap::new();
        for last in self.runs.iter().filter_map(RunOrigin::last) {
            if let Some(value) = value(last) {
                *values.entry(value).or_default() += 1;
            }
        }
        (!values.is_empty()).then(|| listed(&values))
    }

    fn period(&self) -> Option<String> {
        let ended = || self.runs.iter().filter_map(|run| Some(&run.last()?.ended));
        let (first, last) = (ended().min()?, ended().max()?);
        Some(format!("Measured from {first} to {last}."))
    }

    fn cost(&self) -> String {
        let Cost {
            attempts,
            milliseconds,
            on_gpus,
        } = self.tried.cost;
        format!(
            "The sweep took {:.2} GPU-hours and {:.2} hours on CPUs, in {}.",
            in_hours(on_gpus),
            in_hours(milliseconds - on_gpus),
            counted(attempts, "attempt")
        )
    }

    fn ever(&self, ever: &EverMeasured) -> String {
        let dataset = self.names.dataset(&ever.dataset);
        let title = dataset.map_or("a data set", |dataset| self.names.title(dataset));
        format!(
            "{} ({}) have ever been measured on the test classes of {title} with this results folder.",
            counted(ever.recipes, "recipe"),
            counted(ever.runs, "run")
        )
    }

    /// Returns the origin of each run as CSV.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn csv(&self) -> Result<String, ReportError> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        let axes = self.names.axes();
        let mut headings = vec!["dataset".to_owned(), "method".to_owned()];
        headings.extend(axes.iter().map(|axis| field(axis)));
        headings.extend(FIELDS.map(str::to_owned));
        writer.write_record(headings)?;
        for run in &self.runs {
            writer.write_record(self.fields(run).iter().map(|field| field.as_bytes()))?;
        }
        text(writer)
    }

    fn fields<'p>(&'p self, run: &'p RunOrigin) -> Vec<Cow<'p, str>> {
        let last = run.last();
        let host = last.and_then(|last| last.host.as_ref());
        let gpu = host.and_then(|host| host.gpu.as_ref());
        let devices: Vec<&str> = run.devices().into_iter().collect();
        let mut fields = vec![
            as_field(self.names.title(run.dataset)),
            as_field(self.names.method(&run.key)),
        ];
        let settings = self.names.settings(&run.key);
        fields.extend(settings.iter().map(|setting| Cow::Owned(field(setting))));
        let known = |text: Option<&'p str>| as_field(text.unwrap_or_default());
        let number = |number: Option<u64>| number.map_or_else(String::new, |it| it.to_string());
        let memory = run.attempts().filter_map(memory).max();
        let parameters = run.attempts().filter_map(|attempt| attempt.parameters);
        fields.extend([
            run.seed.to_string().into(),
            number(run.fold.map(|fold| fold.index.into())).into(),
            run.run.to_string().into(),
            field(&devices.join("; ")).into(),
            known(gpu.map(|gpu| &*gpu.driver)),
            known(last.map(|last| &*last.sweep)),
            known(last.map(|last| &*last.trainer)),
            known(host.and_then(|host| host.libtorch.as_deref())),
            last.map_or("", |last| &last.ended).into(),
            run.attempts().count().to_string().into(),
            optional(last.map(|_| seconds(run.attempts()))).into(),
            optional(run.images_per_second()).into(),
            number(memory).into(),
            number(parameters.max()).into(),
            run.compared
                .map_or_else(String::new, |compared| compared.metric.to_string())
                .into(),
            optional(run.compared.map(|compared| compared.validation)).into(),
            optional(run.compared.map(|compared| compared.test)).into(),
        ]);
        fields
    }
}

const NOTE: &str = "Parameters are those of the network. Images/s is the mean over the runs of the images of all batches \
                    by the time of all attempts at a training, with start, validation and checkpoints. Hours are the \
                    time of all attempts at the runs of a row; several may have shared a GPU. Memory is the largest of \
                    a process: of the GPU if it computes there, else of the machine. Validation classes are others \
                    than test classes, so the two columns differ also without any choice. Each run is in \
                    provenance.csv.";

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| NONE.to_owned())
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

/// Returns values, each with the number of its runs if there are several.
fn listed(values: &BTreeMap<&str, usize>) -> String {
    if let (Some((only, _)), 1) = (values.first_key_value(), values.len()) {
        return (*only).to_owned();
    }
    let counted = values
        .iter()
        .map(|(value, runs)| format!("{value} ({})", counted(*runs, "run")));
    counted.collect::<Vec<_>>().join(", ")
}
