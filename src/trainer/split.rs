//! What a recipe sees of a prepared data set: which images it trains on, validates on and is tested on.

use std::path::Path;

use dml::data::{self, PreparedData};
use schema::{Labels, Recipe};

use crate::{Failed, assemble};

/// Some images and their classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Images {
    /// Where they are among all images of the data set.
    pub(crate) places: Vec<i64>,
    /// The class of each, numbered from 0 without gaps.
    pub(crate) labels: Vec<i64>,
}

impl Images {
    /// The super-class of each, if the training classes that these are images of have any.
    pub(crate) fn super_classes(&self, data: &PreparedData) -> Option<Vec<i64>> {
        let of_classes = assemble::super_classes(&data.training_classes)?;
        Some(
            self.places
                .iter()
                .map(|&place| of_classes[data.training_labels[place as usize] as usize])
                .collect(),
        )
    }
}

/// The images of the training classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) training: Images,
    /// Those of the fold's classes, if there is a fold.
    pub(crate) validation: Option<Images>,
}

/// Opens the prepared data set that the recipe asks for.
///
/// # Errors
/// If it is not there, is damaged or is another one.
pub(crate) fn open(recipe: &Recipe, folder: &Path) -> Result<PreparedData, Failed> {
    let data = PreparedData::open(folder)?;
    let wanted = assemble::stored(&recipe.images);
    if data.source != recipe.dataset.title() || *data.images.stored() != wanted {
        return Err(Failed::data(format!(
            "`{}` holds {} with {:?}, not {} with {wanted:?}",
            folder.display(),
            data.source,
            data.images.stored(),
            recipe.dataset.title(),
        )));
    }
    Ok(data)
}

/// The test images.
pub(crate) fn test(data: &PreparedData) -> Images {
    Images {
        places: data.test().map(|place| place as i64).collect(),
        labels: data.test_labels.clone(),
    }
}

impl Split {
    /// Splits the images of the training classes as the recipe says.
    ///
    /// # Errors
    /// If there is no such fold, or it holds out nothing.
    pub(crate) fn new(recipe: &Recipe, labels: &[i64]) -> Result<Split, Failed> {
        let held_out = held_out(recipe, labels)?;
        let training = select(labels, |class| !held_out.contains(&class));
        let validation = recipe
            .fold
            .map(|_| select(labels, |class| held_out.contains(&class)));
        Ok(Split {
            training: relabelled(training, recipe),
            validation,
        })
    }
}

fn held_out(recipe: &Recipe, labels: &[i64]) -> Result<std::ops::Range<i64>, Failed> {
    let Some(fold) = recipe.fold else {
        return Ok(0..0);
    };
    if fold.index >= fold.of {
        return Err(Failed::recipe(format!(
            "there is no fold {} of {}, counted from 0",
            fold.index, fold.of
        )));
    }
    let classes = labels.iter().max().map_or(0, |last| last + 1);
    let held_out = fold.held_out(u32::try_from(classes).unwrap_or(u32::MAX));
    if held_out.is_empty() {
        return Err(Failed::recipe(format!(
            "fold {} of {} holds out none of {classes} classes",
            fold.index, fold.of
        )));
    }
    Ok(held_out.start.into()..held_out.end.into())
}

/// The images of some classes, which are numbered anew.
fn select(labels: &[i64], of: impl Fn(i64) -> bool) -> Images {
    let (mut images, mut classes) = (Images::default(), std::collections::BTreeMap::new());
    for (place, &class) in (0..).zip(labels).filter(|(_, class)| of(**class)) {
        let next = classes.len() as i64;
        images.places.push(place);
        images.labels.push(*classes.entry(class).or_insert(next));
    }
    images
}

/// The images with the labels that the recipe trains on.
fn relabelled(images: Images, recipe: &Recipe) -> Images {
    match recipe
        .training
        .as_ref()
        .map_or(Labels::True, |training| training.labels)
    {
        Labels::True => images,
        Labels::Shuffled => Images {
            labels: data::shuffled(&images.labels, recipe.seed),
            ..images
        },
    }
}

#[cfg(test)]
mod tests {
    use schema::{Backbone, Cut, Dataset, Fold, Model, Transform};

    use super::*;

    fn fold(index: u32, of: u32) -> Fold {
        Fold {
            index,
            of,
            cut: Cut::Even,
        }
    }

    fn recipe(fold: Option<Fold>) -> Recipe {
        let model = Model::new(Backbone::Pixels, None);
        Recipe {
            dataset: Dataset::Omniglot,
            images: crate::tests::squares(28),
            transform: Transform::default(),
            fold,
            model,
            training: None,
            seed: 0,
        }
    }

    #[test]
    fn training_and_validation_share_no_class_and_number_theirs_from_0() {
        let labels = [0, 0, 1, 1, 2, 2, 3, 3];
        let split = Split::new(&recipe(Some(fold(1, 4))), &labels).unwrap();
        assert_eq!(
            split.training,
            Images {
                places: vec![0, 1, 4, 5, 6, 7],
                labels: vec![0, 0, 1, 1, 2, 2]
            }
        );
        assert_eq!(
            split.validation,
            Some(Images {
                places: vec![2, 3],
                labels: vec![0, 0]
            })
        );
        let whole = Split::new(&recipe(None), &labels).unwrap();
        assert_eq!(
            whole,
            Split {
                training: Images {
                    places: (0..8).collect(),
                    labels: labels.into()
                },
                validation: None
            }
        );
    }

    #[test]
    fn a_fold_that_does_not_exist_or_holds_out_nothing_is_refused() {
        for fold in [fold(2, 2), fold(0, 0), fold(0, 9)] {
            assert!(
                Split::new(&recipe(Some(fold)), &[0, 1, 2]).is_err(),
                "{fold:?}"
            );
        }
    }
}
