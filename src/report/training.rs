//! The course of trainings: what was measured while they ran.

use std::{collections::BTreeMap, fmt};

use schema::{Dataset, Fold, Metric, RunId};

use crate::{ReportError, Setting, Titles, csv::text, text::field};

/// One training, and where it belongs.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// Its data set.
    pub dataset: Dataset,
    /// The name of its method.
    pub method: String,
    /// The values of further axes.
    pub settings: Vec<Setting>,
    /// The seed of the run.
    pub seed: u64,
    /// The fold that it held out, if any.
    pub fold: Option<Fold>,
    /// The run.
    pub run: RunId,
    /// Values by step, in the order of steps.
    pub curves: BTreeMap<Curve, Vec<(u64, f64)>>,
}

/// What a training reports of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Curve {
    /// The loss of the batch.
    Loss,
    /// The learning rate, as a factor of that of the sweep file.
    LearningRate,
    /// The share of the latest steps to which any pair or triplet contributed.
    Useful,
    /// How far stored embeddings have moved away from those that the network gives now.
    Drift,
    /// A metric of the validation classes.
    Validation(Metric),
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Curve::Loss => f.write_str("loss"),
            Curve::LearningRate => f.write_str("lr_factor"),
            Curve::Useful => f.write_str("useful"),
            Curve::Drift => f.write_str("drift"),
            Curve::Validation(metric) => write!(f, "validation {metric}"),
        }
    }
}

impl Curve {
    /// The heading of its figure.
    pub(crate) fn heading(self) -> String {
        match self {
            Curve::Loss => "Loss".to_owned(),
            Curve::LearningRate => "Learning rate, as a factor".to_owned(),
            Curve::Useful => "Share of steps with something to learn from".to_owned(),
            Curve::Drift => "Drift of the memory".to_owned(),
            Curve::Validation(metric) => format!("Validation {}, percent", metric.heading()),
        }
    }

    /// What a value is multiplied by in a figure.
    pub(crate) fn scale(self) -> f64 {
        match self {
            Curve::Validation(_) => 100.0,
            Curve::Loss | Curve::LearningRate | Curve::Useful | Curve::Drift => 1.0,
        }
    }
}

/// Returns all curves as CSV, a line for each value of a step.
///
/// # Errors
/// If the text cannot be written.
pub fn curves(trainings: &[Training]) -> Result<String, ReportError> {
    let titles = Titles::of(trainings.iter().map(|training| &training.dataset));
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "dataset", "method", "settings", "seed", "fold", "run", "step", "curve", "value",
    ])?;
    for training in trainings {
        let place = [
            field(titles.title(&training.dataset)),
            field(&training.method),
            field(&training.settings()),
            training.seed.to_string(),
            training
                .fold
                .map_or_else(String::new, |fold| fold.index.to_string()),
            training.run.to_string(),
        ];
        for (curve, points) in &training.curves {
            for (step, value) in points {
                let measured = [step.to_string(), curve.to_string(), value.to_string()];
                writer.write_record(place.iter().chain(&measured))?;
            }
        }
    }
    text(writer)
}

impl Training {
    /// `embedding = 64, margin = 0.1`.
    fn settings(&self) -> String {
        let settings: Vec<String> = self.settings.iter().map(Setting::to_string).collect();
        settings.join(", ")
    }

    /// The method with its settings.
    pub(crate) fn row(&self) -> String {
        match self.settings[..] {
            [] => self.method.clone(),
            _ => format!("{} ({})", self.method, self.settings()),
        }
    }
}
