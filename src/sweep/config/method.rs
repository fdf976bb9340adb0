//! The network of a method, and its losses: that of the method, and those of heads with their own.

use schema::{Loss, Model, Sampler, WeightedLoss};

use super::{
    file::{MethodTable, TrainingTable},
    heads::MethodHead,
};

impl MethodTable {
    /// Returns what is chosen about its loss, which is that of all heads without their own; nothing for a baseline.
    pub(crate) fn whole_loss(&self) -> Option<WeightedLoss> {
        Some(WeightedLoss {
            distance: self.distance,
            reduction: self.reduction,
            miner: self.miner.clone(),
            regularizer: self.regularizer.clone(),
            ..WeightedLoss::of(self.loss.clone()?)
        })
    }

    /// Returns the loss of the method and those of heads with their own.
    pub(crate) fn losses(&self) -> impl Iterator<Item = &Loss> {
        let heads = self.heads.iter().flatten();
        let of_heads = heads.filter_map(|head| head.loss.as_ref());
        self.loss.iter().chain(of_heads)
    }

    /// Returns its sampler, which is that of all methods unless it has its own.
    pub(crate) fn sampler_in<'t>(&'t self, training: &'t TrainingTable) -> &'t Sampler {
        self.sampler.as_ref().unwrap_or(&training.sampler)
    }

    /// True if a loss or a link has parameters of its own.
    pub(crate) fn has_parameters(&self) -> bool {
        self.losses().any(Loss::has_parameters) || self.links.have_parameters()
    }

    /// True if a loss or a link depends on surveys of the training images.
    pub(crate) fn needs_survey(&self) -> bool {
        self.links.divide.is_some() || self.losses().any(Loss::needs_survey)
    }

    /// True if a batch without two images of one class has no gradient.
    pub(crate) fn needs_positives(&self) -> bool {
        self.losses().any(Loss::needs_positives)
    }

    /// Returns its network: the model that all share, with its own heads if it has some.
    pub(crate) fn model(&self, shared: &Model) -> Model {
        let layers = |heads: &Vec<MethodHead>| heads.iter().map(MethodHead::layers).collect();
        let heads = self.heads.as_ref().map(layers);
        Model {
            heads: heads.unwrap_or_else(|| shared.heads.clone()),
            join: self.join.clone().unwrap_or_else(|| shared.join.clone()),
            ..shared.clone()
        }
    }

    /// Returns the losses of its heads; none if all have that of the method.
    pub(crate) fn losses_of_heads(&self) -> Vec<WeightedLoss> {
        let heads: Vec<&MethodHead> = self.heads.iter().flatten().collect();
        let is_plain = |head: &&MethodHead| head.loss.is_none() && head.weight == 1.0;
        let Some(shared) = self.whole_loss().filter(|_| !heads.iter().all(is_plain)) else {
            return Vec::new();
        };
        let of_head = |head: &MethodHead| {
            head.own_loss().unwrap_or_else(|| WeightedLoss {
                weight: head.weight,
                ..shared.clone()
            })
        };
        heads.into_iter().map(of_head).collect()
    }
}
