//! Everything that determines one run's result.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Clip, Dataset, Distance, Ema, Guards, Links, Loss, Memory, Metric, Miner, Model, Optimizer,
    Reduction, Regularizer, Sampler, Schedule, ScriptFile, Span, StoredImages, Survey, Transform,
    WarmUp, WeightedLoss,
};

/// Everything that determines one run's result, apart from the bytes of the data and the kind of
/// arithmetic (see [`Identity`](crate::Identity)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The data set.
    pub dataset: Dataset,
    /// How its images are stored.
    pub images: StoredImages,
    /// What is done to them in a batch. Absent: nothing.
    #[serde(default, skip_serializing_if = "Transform::is_none")]
    pub transform: Transform,
    /// The held-out part of the training classes. Absent: all of them are trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// The network.
    pub model: Model,
    /// How it is trained. Absent: it is not, and the run is a baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// The seed of every random draw.
    pub seed: u64,
}

impl Recipe {
    /// Returns the recipe without its losses and miners: what two recipes have in common that differ in these alone.
    pub fn apart_from_losses(&self) -> Recipe {
        let training = self.training.as_ref().map(|training| Training {
            loss: Loss::Sum(Vec::new()),
            distance: None,
            reduction: None,
            regularizer: None,
            miner: None,
            heads: Vec::new(),
            ..training.clone()
        });
        Recipe {
            training,
            ..self.clone()
        }
    }
}

/// One of `of` class-disjoint parts of the training classes, in the order of the class list; the run
/// trains on the others, validates on this one and keeps its best checkpoint by [`Training::select`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// The number of the part, from 0.
    pub index: u32,
    /// The number of parts.
    pub of: u32,
    /// How the parts are cut.
    #[serde(default, skip_serializing_if = "Cut::is_even")]
    pub cut: Cut,
}

/// How training classes are cut into folds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Into parts that differ in size by one class at most, each class in exactly one.
    #[default]
    Even,
    /// As in "A Metric Learning Reality Check" (Musgrave et al., 2020): parts of equal size, rounded down,
    /// each ending where an even part begins. The first is the end of the class list. The remaining classes
    /// are in no fold: 2 of Cars-196, 1 of Stanford Online Products, none of CUB-200-2011.
    RealityCheck,
    /// Into even parts; only the last is held out, so there is a single fold: with 5 parts, the last 20 % of the
    /// classes.
    Last,
}

impl Cut {
    /// All cuts.
    pub const ALL: [Cut; 3] = [Cut::Even, Cut::RealityCheck, Cut::Last];

    fn is_even(&self) -> bool {
        *self == Cut::Even
    }
}

impl Fold {
    /// Returns all folds of a cut into `of` parts.
    pub fn all(of: u32, cut: Cut) -> impl Iterator<Item = Fold> {
        let first = match cut {
            Cut::Even | Cut::RealityCheck => 0,
            Cut::Last => of.saturating_sub(1),
        };
        (first..of).map(move |index| Fold { index, of, cut })
    }

    /// Returns true if no other part of its cut is held out.
    pub fn is_single(self) -> bool {
        match self.cut {
            Cut::Even | Cut::RealityCheck => false,
            Cut::Last => true,
        }
    }

    /// Returns the held-out classes of `classes` training classes, numbered from 0.
    pub fn held_out(self, classes: u32) -> std::ops::Range<u32> {
        let bound = |part: u32| {
            u32::try_from(u64::from(part) * u64::from(classes) / u64::from(self.of))
                .unwrap_or(classes)
        };
        match self.cut {
            Cut::Even | Cut::Last => bound(self.index)..bound(self.index + 1),
            Cut::RealityCheck => {
                let end = if self.index == 0 {
                    classes
                } else {
                    bound(self.index)
                };
                end - classes / self.of..end
            }
        }
    }
}

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The loss.
    pub loss: Loss,
    /// How far apart embeddings are. Absent: the loss's own distance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
    /// How the loss's terms become one number. Absent: as the loss has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduction: Option<Reduction>,
    /// A penalty on embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regularizer: Option<Regularizer>,
    /// Chooses what the loss sees. Absent: all pairs, or all triplets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miner: Option<Miner>,
    /// Adds embeddings of earlier batches. Absent: the loss sees one batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The loss of each head of several, in order; it may be a sum. Absent: `loss`, for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<WeightedLoss>,
    /// What links several heads. Absent: nothing.
    #[serde(default, skip_serializing_if = "Links::are_none")]
    pub links: Links,
    /// Forms the batches.
    pub sampler: Sampler,
    /// Changes the weights.
    pub optimizer: Optimizer,
    /// Changes the parameters of losses that have some, such as proxies. Absent: one like that of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_optimizer: Option<Optimizer>,
    /// Changes the weights of the head. Absent: as those of the trunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_optimizer: Option<Optimizer>,
    /// Which parameters of the network weight decay shrinks.
    #[serde(default, skip_serializing_if = "Decayed::are_all")]
    pub weight_decay_on: Decayed,
    /// The learning rate of a layer of the trunk, relative to that of the layer behind it. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_decay: Option<f64>,
    /// How learning rates change with time.
    #[serde(default = "constant", skip_serializing_if = "Schedule::is_constant")]
    pub schedule: Schedule,
    /// How they begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
    /// When the training images are surveyed. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survey: Option<Survey>,
    /// How long only the head and the parameters of losses are trained at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze_trunk: Option<Span>,
    /// Steps of an epoch. Absent: as many as take as many images as there are to train on, rounded down, and at
    /// least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch_steps: Option<u64>,
    /// The average of the weights that is validated, kept and measured. Absent: the weights themselves are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<Ema>,
    /// A bound on gradients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
    /// Batches of one step. Each has its own loss, in which it sees no other; the step follows the mean of their
    /// gradients.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub accumulate: u64,
    /// Images that are in memory at a time with what their gradient needs. A batch of more has one loss, but goes
    /// through the network in chunks, twice: without a graph to know the embeddings and so their gradients, then with
    /// one. Where batch norm is trained, a chunk is normalized by itself. Absent: the whole batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<u32>,
    /// How many steps are trained.
    pub steps: u64,
    /// Steps between two validations. The first validation is before any step. Only a run with a fold validates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate_every: Option<u64>,
    /// The metric by which validation chooses the best weights.
    #[serde(default = "map_at_r", skip_serializing_if = "is_map_at_r")]
    pub select: Metric,
    /// Validations in a row without a better score after which training ends. Absent: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// What ends a training that has gone wrong.
    #[serde(default, skip_serializing_if = "Guards::are_default")]
    pub guards: Guards,
    /// Whether the labels are the true ones.
    #[serde(default, skip_serializing_if = "Labels::are_true")]
    pub labels: Labels,
    /// Which of the images are trained on. Absent: all.
    #[serde(default, skip_serializing_if = "TrainingImages::are_all")]
    pub images: TrainingImages,
    /// Larger classes that are trained on instead of the classes. Absent: the classes themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_map: Option<LabelMap>,
}

/// A random map of the training classes to as many larger ones, of equal numbers of classes up to one: DREML (Xuan,
/// Souvenir & Pless, ECCV 2018).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelMap {
    /// The number of larger classes.
    pub classes: u32,
    /// Which of the maps with this seed, from 0.
    pub index: u32,
}

fn constant() -> Schedule {
    Schedule::Constant
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(number: &u64) -> bool {
    *number == 1
}

fn map_at_r() -> Metric {
    Metric::MapAtR
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_map_at_r(metric: &Metric) -> bool {
    *metric == Metric::MapAtR
}

impl Training {
    /// Returns the losses that are minimized, each with all choices about it: one, unless the loss is a sum.
    pub fn losses(&self) -> Vec<WeightedLoss> {
        let whole = WeightedLoss {
            distance: self.distance,
            reduction: self.reduction,
            miner: self.miner.clone(),
            regularizer: self.regularizer.clone(),
            ..WeightedLoss::of(self.loss.clone())
        };
        whole.summands()
    }

    /// Returns the losses of one of several heads.
    pub fn losses_of_head(&self, head: usize) -> Vec<WeightedLoss> {
        match self.heads.get(head) {
            Some(own) => own.summands(),
            None => self.losses(),
        }
    }

    /// Returns the files of the modules that are losses or miners.
    pub fn scripts(&self) -> BTreeSet<ScriptFile> {
        let mut losses = self.losses();
        losses.extend(self.heads.iter().flat_map(WeightedLoss::summands));
        losses
            .iter()
            .flat_map(WeightedLoss::scripts)
            .cloned()
            .collect()
    }

    /// True if the batches or the loss depend on surveys of the training images.
    pub fn needs_survey(&self) -> bool {
        let mut losses = [&self.loss]
            .into_iter()
            .chain(self.heads.iter().map(|head| &head.loss));
        self.sampler.needs_survey() || self.links.divide.is_some() || losses.any(Loss::needs_survey)
    }

    /// Returns how many surveys there are in a training on this number of images.
    pub fn surveys(&self, images: u64) -> u64 {
        let Some(survey) = &self.survey else {
            return 0;
        };
        let of_a_step = u64::from(self.sampler.batch()).saturating_mul(self.accumulate);
        let pass = images / of_a_step.max(1);
        let every = match survey.every {
            Span::Steps(steps) => steps,
            Span::Epochs(epochs) => epochs.saturating_mul(self.epoch_steps.unwrap_or(pass).max(1)),
        };
        self.steps.saturating_sub(1) / every.max(1)
    }

    /// A training with only what it cannot do without.
    pub fn new(loss: Loss, sampler: Sampler, optimizer: Optimizer, steps: u64) -> Training {
        Training {
            loss,
            distance: None,
            reduction: None,
            regularizer: None,
            miner: None,
            memory: None,
            heads: Vec::new(),
            links: Links::default(),
            sampler,
            optimizer,
            loss_optimizer: None,
            head_optimizer: None,
            weight_decay_on: Decayed::All,
            layer_decay: None,
            schedule: Schedule::Constant,
            warm_up: None,
            survey: None,
            freeze_trunk: None,
            epoch_steps: None,
            ema: None,
            clip: None,
            accumulate: 1,
            chunk: None,
            steps,
            validate_every: None,
            select: Metric::MapAtR,
            patience: None,
            guards: Guards::default(),
            labels: Labels::True,
            images: TrainingImages::default(),
            label_map: None,
        }
    }
}

/// Which images are trained on, and with how much label noise. Validation and test images stay as they are.
///
/// Each choice depends on the seed alone, and choices are nested: 50 classes are among 100 classes, 5 images of a class
/// among 10, and the wrong labels of 10 % noise among those of 20 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingImages {
    /// How many classes, chosen at random. Absent: all that no fold holds out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<u32>,
    /// At most how many images of a class, chosen at random. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_per_class: Option<u32>,
    /// The probability of an image to be labeled with one of the other classes, each equally likely: symmetric noise.
    pub label_noise: f64,
}

impl TrainingImages {
    /// Returns true if all images are trained on, with their own labels.
    pub fn are_all(&self) -> bool {
        *self == TrainingImages::default()
    }
}

/// Which parameters of a network weight decay shrinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decayed {
    /// All of them, as PyTorch's optimizers do.
    #[default]
    All,
    /// Matrices and kernels: no norms and biases, and neither tokens nor what positions add, as timm has it.
    Matrices,
}

impl Decayed {
    /// True if no parameter is left out.
    pub fn are_all(&self) -> bool {
        *self == Decayed::All
    }
}

/// Whether a network is trained on the true labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Labels {
    /// As they are.
    #[default]
    True,
    /// Permuted among the training images: a control, from which nothing about classes can be learnt.
    Shuffled,
}

impl Labels {
    fn are_true(&self) -> bool {
        *self == Labels::True
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, Fold, Training};
    use crate::{Contrastive, Loss, MPerClass, Optimizer, Sampler, Sgd, Span, Survey};

    #[test]
    fn surveys_are_counted_from_the_first_interval_on_and_not_after_the_last_step() {
        let sampler = Sampler::MPerClass(MPerClass {
            batch: 10,
            per_class: 2,
        });
        let loss = Loss::Contrastive(Contrastive::default());
        let mut training = Training::new(loss, sampler, Optimizer::Sgd(Sgd::default()), 12);
        assert_eq!(training.surveys(39), 0);
        let mut surveys = |every| {
            let per_class = None;
            training.survey = Some(Survey { every, per_class });
            training.surveys(39)
        };
        assert_eq!(surveys(Span::Steps(4)), 2);
        assert_eq!(surveys(Span::Steps(5)), 2);
        assert_eq!(surveys(Span::Epochs(1)), 3);
        assert_eq!(surveys(Span::Epochs(2)), 1);
    }

    #[test]
    fn even_folds_cover_every_class_exactly_once() {
        for (classes, of) in [(964, 4), (10, 3), (7, 7), (98, 4)] {
            let held_out: Vec<u32> = Fold::all(of, Cut::Even)
                .flat_map(|fold| fold.held_out(classes))
                .collect();
            assert_eq!(held_out, (0..classes).collect::<Vec<_>>());
        }
    }

    /// Computed by hand from the original's `start = int(p / 4 * n)`, training on `n - int(n / 4)` classes from
    /// there, around the end, and validating on the next.
    #[test]
    fn the_reality_checks_folds_of_its_three_data_sets() {
        let folds = |classes| {
            Fold::all(4, Cut::RealityCheck)
                .map(|fold| fold.held_out(classes))
                .collect::<Vec<_>>()
        };
        assert_eq!(folds(200 / 2), [75..100, 0..25, 25..50, 50..75]);
        assert_eq!(folds(196 / 2), [74..98, 0..24, 25..49, 49..73]);
        assert_eq!(
            folds(22_634 / 2),
            [8_488..11_317, 0..2_829, 2_829..5_658, 5_658..8_487]
        );
        let never = |classes: u32| {
            (0..classes)
                .filter(|class| folds(classes).iter().all(|fold| !fold.contains(class)))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (never(100), never(98), never(11_317)),
            (vec![], vec![24, 73], vec![8_487])
        );
    }

    #[test]
    fn a_single_fold_holds_out_the_end_of_the_class_list() {
        let held_out = |classes, of| {
            let folds: Vec<Fold> = Fold::all(of, Cut::Last).collect();
            (folds.len(), folds[0].held_out(classes))
        };
        assert_eq!(held_out(100, 5), (1, 80..100));
        assert_eq!(held_out(98, 5), (1, 78..98));
        assert_eq!(held_out(11_318, 5), (1, 9_054..11_318));
    }

    #[test]
    fn an_even_fold_is_written_without_its_cut() {
        let text = |cut| {
            serde_json::to_string(&Fold {
                index: 1,
                of: 4,
                cut,
            })
            .unwrap()
        };
        assert_eq!(text(Cut::Even), r#"{"index":1,"of":4}"#);
        assert_eq!(
            text(Cut::RealityCheck),
            r#"{"index":1,"of":4,"cut":"reality_check"}"#
        );
    }
}
