//! From the words of a recipe to the things they name: the one place where both vocabularies meet.

mod imaging;
mod losses;
mod network;
mod remembering;
mod sampling;

use std::path::Path;

use dml::{
    data::{
        self,
        readers::{Reader, manifest},
    },
    loss,
    model::Network,
    objective::Objective,
};
use schema::{Dataset, Training};

use crate::Failed;

pub(crate) use imaging::{cache, stored, transforms};
pub(crate) use network::{network, warn_of_precision, weights_fit};
pub(crate) use sampling::{sampler, super_classes};

/// The data set, and where it lies.
///
/// # Errors
/// If it must lie somewhere and nobody said where.
pub(crate) fn source(dataset: &Dataset, root: Option<&Path>) -> Result<data::Source, Failed> {
    match dataset {
        Dataset::Glyphs(glyphs) => Ok(data::Source::Glyphs(data::Glyphs {
            classes: glyphs.classes,
            test_classes: glyphs.test_classes,
            per_class: glyphs.per_class,
            seed: glyphs.seed,
        })),
        Dataset::Omniglot => {
            let root =
                root.ok_or_else(|| Failed::data("the attempt does not emit where Omniglot lies"))?;
            Ok(data::Source::Omniglot {
                root: root.to_owned(),
            })
        }
        listed => {
            let missing = || {
                Failed::data(format!(
                    "the attempt does not emit where {} lies",
                    listed.title()
                ))
            };
            let root = root.ok_or_else(missing)?;
            let listing = manifest::read(&root.join(data::LISTING))?;
            let listing = if *listed == Dataset::SopHalves {
                listing.in_halves()
            } else {
                listing
            };
            listing
                .check()
                .map_err(|error| Failed::data(format!("{}: {error}", listed.title())))?;
            Ok(data::Source::Files {
                title: listed.title().to_owned(),
                root: root.to_owned(),
                listing,
            })
        }
    }
}

/// What reads a data set as it is downloaded; nothing for those with an importer of their own and for glyphs.
pub(crate) fn reader(dataset: &Dataset) -> Option<Reader> {
    match dataset {
        Dataset::Glyphs(_) | Dataset::Omniglot => None,
        Dataset::Cub200 => Some(Reader::Cub200),
        Dataset::Cars196 => Some(Reader::Cars196),
        Dataset::Sop | Dataset::SopHalves => Some(Reader::Sop),
        Dataset::InShop => Some(Reader::InShop),
        Dataset::Own(_) => Some(Reader::Own),
    }
}

/// What training minimises, on images with these labels, with a memory for the embeddings of this network.
///
/// # Errors
/// If the memory would hold nothing, or more than there are images.
pub(crate) fn objective(
    training: &Training,
    network: &Network,
    labels: &[i64],
    seed: u64,
) -> Result<Objective, Failed> {
    let classes = labels.iter().max().map_or(0, |last| last + 1);
    let init = loss::ClassInit {
        classes,
        width: network.width(),
        seed,
        part: 0,
        device: network.device(),
    };
    let objective = Objective {
        seed,
        ..Objective::sum(losses::losses(training, &init)?)
    };
    match &training.memory {
        Some(memory) => remembering::with_memory(
            objective,
            memory,
            training.accumulate,
            network,
            labels.len(),
        ),
        None => Ok(objective),
    }
}

pub(super) fn impossible(error: impl std::error::Error) -> Failed {
    Failed::recipe(error.to_string())
}

/// The orchestrator reads the table that is written here.
const _: () = assert!(
    matches!(data::LISTING.as_bytes(), b"listing.csv")
        && matches!(schema::Registration::LISTING.as_bytes(), b"listing.csv")
);

/// The orchestrator says anew where images lie.
const _: () = assert!(
    matches!(data::ROOT.as_bytes(), b"root")
        && matches!(schema::PrepareWork::ROOT.as_bytes(), b"root")
);

/// The version of the drawing is part of the name of every run on glyphs, so the two must not part.
const _: () = assert!(schema::Glyphs::DRAWING == data::DRAWING);
