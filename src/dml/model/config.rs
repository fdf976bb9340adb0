//! What a network is made of and for, and why it cannot be built.

use schema::{Auxiliary, Backbone, EmbeddingHead, Model, Tap, can_drop};

use super::{
    input,
    torchscript::{self, TorchScript, TorchScriptError},
    trunk::TrunkInput,
    weights::WeightsMismatch,
};

/// A network and the images that it is made for.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// Backbone, pooling and head.
    pub model: Model,
    /// Channels of an image: 1 or 3.
    pub channels: i64,
    /// Side of an image in pixels.
    pub image_size: i64,
    /// The module of a TorchScript backbone.
    pub module: Option<TorchScript>,
}

/// A network that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Pooling would leave nothing of the image.
    #[error(
        "images of {image_size} pixels a side are too small: this backbone needs at least {smallest}"
    )]
    SmallImage {
        /// Side of an image in pixels.
        image_size: i64,
        /// The smallest side that works.
        smallest: i64,
    },
    /// The layers do not fit images of this size.
    #[error("images of {image_size} pixels a side do not pass through this backbone: it {why}")]
    ImageSize {
        /// Side of an image in pixels.
        image_size: i64,
        /// The reason, the end of a sentence.
        why: String,
    },
    /// An embedding without dimensions, or an image without channels.
    #[error("channels and widths must be at least 1, not {found}")]
    Width {
        /// The value in the settings.
        found: i64,
    },
    /// Neither gray nor color images.
    #[error("this backbone takes images of 1 or 3 channels, not {found}")]
    Channels {
        /// Of an image.
        found: i64,
    },
    /// Nothing to pool.
    #[error("this backbone gives no map, there is nothing to pool")]
    NoMap,
    /// A setting of residual blocks without any.
    #[error(
        "this backbone has no residual blocks that images can skip, that can be computed again, or that take adapters"
    )]
    NoBlocks,
    /// Adapters of nothing.
    #[error("the rank of low-rank adapters is at least 1")]
    NoRank,
    /// A drop rate outside [0, 1).
    #[error("images skip blocks with a probability from 0 to below 1, not {found}")]
    DropPath {
        /// The value in the settings, in words, because a number may be none.
        found: String,
    },
    /// A probability of dropout outside [0, 1).
    #[error("inputs of a head are dropped with a probability from 0 to below 1, not {found}")]
    Dropout {
        /// The value in the settings, in words, because a number may be none.
        found: String,
    },
    /// A name that no layer has.
    #[error("there is no layer `{name}` to freeze; this backbone has {}", .known.join(", "))]
    NoSuchLayer {
        /// The value in the settings.
        name: String,
        /// The layers that exist.
        known: Vec<String>,
    },
    /// A layer without a tap.
    #[error("heads cannot pool `{name}` of this backbone")]
    NoSuchTap {
        /// The value in the settings.
        name: String,
    },
    /// Auxiliary layers without a window.
    #[error(
        "auxiliary layers of a head need a tap whose map has at least {} pixels a side",
        Auxiliary::WINDOW
    )]
    NoWindow,
    /// Heads that do not make up the embedding.
    #[error(
        "the heads have {found} dimensions in all, and the embedding {expected}; they are normalized and joined"
    )]
    Heads {
        /// The sum of the widths.
        found: i64,
        /// The width of the embedding.
        expected: i64,
    },
    /// Weights of another network.
    #[error(transparent)]
    Weights(#[from] WeightsMismatch),
    /// A module that cannot be the trunk.
    #[error(transparent)]
    TorchScript(#[from] TorchScriptError),
}

impl NetworkConfig {
    /// Returns a backbone with an optional linear head and default settings.
    pub fn new(
        backbone: Backbone,
        channels: i64,
        image_size: i64,
        embedding: Option<u32>,
    ) -> NetworkConfig {
        NetworkConfig {
            model: Model::new(backbone, embedding),
            channels,
            image_size,
            module: None,
        }
    }

    pub(super) fn trunk_input(&self) -> TrunkInput<'_> {
        let input = self.model.backbone.part().input();
        TrunkInput {
            channels: input::channels(input.as_ref(), self.channels),
            image_size: self.image_size,
            module: self.module.as_ref(),
        }
    }

    /// Returns the width of the backbone's features.
    pub(super) fn features(&self) -> i64 {
        match (&self.module, self.model.backbone.part().features()) {
            (Some(module), _) => module.features,
            (None, Some(width)) => width.into(),
            (None, None) => self.channels * self.image_size * self.image_size,
        }
    }

    /// Returns the channels of the map that a head pools, or the width of the features.
    pub(super) fn channels_of(&self, head: &EmbeddingHead) -> i64 {
        self.tap_of(head)
            .map_or_else(|| self.features(), |tap| tap.channels.into())
    }

    /// Returns how many windows auxiliary layers of a head average; 0 without a map that has one.
    pub(super) fn windows_of(&self, head: &EmbeddingHead) -> i64 {
        let part = self.model.backbone.part();
        let side_at = |tap| part.side_at(tap, self.image_size as u32);
        match self.tap_of(head).map(side_at) {
            Some(side) if side >= Auxiliary::WINDOW => i64::from(Auxiliary::windows(side)).pow(2),
            Some(_) | None => 0,
        }
    }

    fn tap_of(&self, head: &EmbeddingHead) -> Option<&'static Tap> {
        self.model.backbone.part().tap(head.tap.as_deref()?)
    }

    fn check_heads(&self) -> Result<(), ModelError> {
        let heads = &self.model.heads;
        if heads.is_empty() {
            return Ok(());
        }
        let found = heads.iter().map(|head| i64::from(head.width)).sum();
        let expected = self.model.embedding.map_or(0, i64::from);
        if found != expected || !self.model.normalize {
            return Err(ModelError::Heads { found, expected });
        }
        let mut rates = heads.iter().map(|head| head.dropout);
        if let Some(found) = rates.find(|&rate| !can_drop(rate)) {
            return Err(ModelError::Dropout {
                found: found.to_string(),
            });
        }
        let part = self.model.backbone.part();
        let mut taps = heads.iter().filter_map(|head| head.tap.as_deref());
        if let Some(name) = taps.find(|tap| part.tap(tap).is_none()) {
            return Err(ModelError::NoSuchTap {
                name: name.to_owned(),
            });
        }
        let mut with_windows = heads.iter().filter(|head| head.auxiliary.is_some());
        match with_windows.any(|head| self.windows_of(head) == 0) {
            true => Err(ModelError::NoWindow),
            false => Ok(()),
        }
    }

    fn gives_a_map(&self) -> bool {
        match &self.module {
            Some(module) => module.gives_a_map,
            None => self.model.backbone.part().gives_a_map(),
        }
    }

    /// Checks what can be checked before anything is built.
    pub(super) fn check(&self) -> Result<(), ModelError> {
        let part = self.model.backbone.part();
        let image_size = self.image_size;
        let smallest = part.least_image().into();
        if image_size < smallest {
            return Err(ModelError::SmallImage {
                image_size,
                smallest,
            });
        }
        if let Some(why) = part.obstacle(image_size as u32) {
            return Err(ModelError::ImageSize { image_size, why });
        }
        if let Backbone::Torchscript(_) = self.model.backbone {
            torchscript::check(&self.model, self.module.as_ref())?;
        }
        if self.model.pooling.is_some() && !self.gives_a_map() {
            return Err(ModelError::NoMap);
        }
        self.check_blocks()?;
        self.check_widths()?;
        self.check_heads()?;
        if part.input().is_some() && !matches!(self.channels, 1 | 3) {
            return Err(ModelError::Channels {
                found: self.channels,
            });
        }
        Ok(())
    }

    fn check_blocks(&self) -> Result<(), ModelError> {
        let rate = self.model.drop_path;
        if !can_drop(rate) {
            return Err(ModelError::DropPath {
                found: rate.to_string(),
            });
        }
        if self.model.lora.as_ref().is_some_and(|lora| lora.rank == 0) {
            return Err(ModelError::NoRank);
        }
        let needs_blocks = rate > 0.0 || self.model.checkpointing || self.model.lora.is_some();
        match needs_blocks && !self.model.backbone.part().is_made_of_blocks() {
            true => Err(ModelError::NoBlocks),
            false => Ok(()),
        }
    }

    fn check_widths(&self) -> Result<(), ModelError> {
        let of_heads = self.model.heads.iter().map(|head| &head.width);
        let auxiliary = self.model.heads.iter().flat_map(|head| &head.auxiliary);
        let channels = auxiliary.map(|layers| &layers.channels);
        let layers = self.model.heads.iter().map(|head| &head.layers);
        let hidden = layers.chain([&self.model.head]).flat_map(hidden_widths);
        let widths = self
            .model
            .embedding
            .iter()
            .chain(of_heads)
            .chain(channels)
            .chain(hidden);
        let mut all = widths.map(|&width| width.into()).chain([self.channels]);
        match all.find(|&width| width < 1) {
            Some(found) => Err(ModelError::Width { found }),
            None => Ok(()),
        }
    }
}

fn hidden_widths(head: &Option<schema::Head>) -> &[u32] {
    match head {
        Some(schema::Head::Mlp(mlp)) => &mlp.hidden,
        Some(schema::Head::Linear(_)) | None => &[],
    }
}
