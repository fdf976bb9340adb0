//! The images of a prepared data set that a recipe trains on, validates on and is tested on.

use std::{collections::BTreeMap, path::Path};

use dml::data::{self, PreparedData};
use schema::{Labels, Recipe};

use crate::{Failed, assemble};

/// Some images and their classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Images {
    /// Their indices among all images of the data set.
    pub(crate) indices: Vec<i64>,
    /// The class of each, numbered from 0 without gaps.
    pub(crate) labels: Vec<i64>,
}

impl Images {
    /// Returns the number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.labels
            .iter()
            .max()
            .map_or(0, |&last| last as usize + 1)
    }

    /// Returns the super-class of each, if the training classes have any.
    pub(crate) fn super_classes(&self, data: &PreparedData) -> Option<Vec<i64>> {
        let of_classes = assemble::super_classes(&data.training_classes)?;
        let of_image = |&index: &i64| of_classes[data.training_labels[index as usize] as usize];
        Some(self.indices.iter().map(of_image).collect())
    }
}

/// The images of the training classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) training: Images,
    /// The images of the fold's classes, if there is a fold.
    pub(crate) validation: Option<Images>,
}

/// Opens the prepared data set of a recipe.
///
/// # Errors
/// If it is not there, is damaged or is another one.
pub(crate) fn open(recipe: &Recipe, folder: &Path) -> Result<PreparedData, Failed> {
    let data = PreparedData::open(folder)?;
    check(recipe, &data, folder)?;
    Ok(data)
}

/// Checks that a prepared data set is that of a recipe.
///
/// # Errors
/// It is another one.
pub(crate) fn check(recipe: &Recipe, data: &PreparedData, folder: &Path) -> Result<(), Failed> {
    if data.is_of(&recipe.dataset, &recipe.images) {
        return Ok(());
    }
    let folder = folder.display();
    Err(Failed::data(format!(
        "`{folder}` was prepared from another data set or in another way; remove it"
    )))
}

/// Returns the test images.
pub(crate) fn test(data: &PreparedData) -> Images {
    Images {
        indices: data.test().map(|index| index as i64).collect(),
        labels: data.test_labels.clone(),
    }
}

impl Split {
    /// Splits the images of the training classes by the fold of the recipe.
    ///
    /// # Errors
    /// If there is no such fold, or it holds out no class.
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

/// Returns the images of the selected classes, which are numbered from 0 again.
fn select(labels: &[i64], is_selected: impl Fn(i64) -> bool) -> Images {
    let mut images = Images::default();
    let mut classes = BTreeMap::new();
    for (index, &class) in (0..).zip(labels) {
        if !is_selected(class) {
            continue;
        }
        let next = classes.len() as i64;
        images.indices.push(index);
        images.labels.push(*classes.entry(class).or_insert(next));
    }
    images
}

/// Returns the images with the labels that the recipe trains on.
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
                indices: vec![0, 1, 4, 5, 6, 7],
                labels: vec![0, 0, 1, 1, 2, 2]
            }
        );
        assert_eq!(
            split.validation,
            Some(Images {
                indices: vec![2, 3],
                labels: vec![0, 0]
            })
        );
        let whole = Split::new(&recipe(None), &labels).unwrap();
        assert_eq!(
            whole,
            Split {
                training: Images {
                    indices: (0..8).collect(),
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
