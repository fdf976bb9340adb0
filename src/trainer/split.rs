//! The images of a prepared data set that a recipe trains on, validates on and is tested on.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use dml::{
    data::{self, ClassedImage, PreparedData},
    eval::LabeledEmbeddings,
};
use schema::{Labels, Recipe, Training};

use crate::{Failed, assemble, score};

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
}

/// What is known about some images beside their classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    /// The camera of each; empty if the data set names none.
    pub(crate) cameras: Vec<Option<u32>>,
    /// For each level of super-classes, the narrowest first, that of each.
    pub(crate) levels: Vec<Vec<Option<u32>>>,
}

impl Annotations {
    /// Returns embeddings of these images with what is known about them.
    ///
    /// # Errors
    /// There is not one embedding for each image.
    pub(crate) fn on(&self, images: LabeledEmbeddings) -> Result<LabeledEmbeddings, Failed> {
        let images = images.with_cameras(self.cameras.clone());
        let images = images.and_then(|images| images.with_categories(self.levels.clone()));
        images.map_err(|error| score::unmeasurable(&error))
    }
}

/// The images of the training classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) training: Images,
    /// For each training image the class that it is labeled with, numbered as in the data set: with label noise, not
    /// always its own.
    classes: Vec<i64>,
    /// The images of the fold's classes, if there is a fold.
    pub(crate) validation: Option<Images>,
    /// What else is known about these images.
    pub(crate) of_validation: Annotations,
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
        indices: data.test_images().map(|index| index as i64).collect(),
        labels: data.test.labels.clone(),
    }
}

impl Split {
    /// Splits the images of the training classes by the fold of the recipe, and leaves out those that it does not train
    /// on.
    ///
    /// # Errors
    /// If there is no such fold, it holds out no class, or there are fewer classes than the recipe trains on.
    pub(crate) fn new(recipe: &Recipe, labels: &[i64]) -> Result<Split, Failed> {
        let held_out = held_out(recipe, labels)?;
        let training = select(labels, |class| !held_out.contains(&class));
        let training = match &recipe.training {
            Some(settings) => chosen(training, settings, recipe.seed)?,
            None => training,
        };
        let validation = recipe
            .fold
            .map(|_| numbered(&select(labels, |class| held_out.contains(&class))));
        Ok(Split {
            classes: training.iter().map(|image| image.class).collect(),
            training: mapped(relabelled(numbered(&training), recipe), recipe)?,
            validation,
            of_validation: Annotations::default(),
        })
    }

    /// Returns the same with what is known about all images of the training classes.
    pub(crate) fn annotated(self, data: &PreparedData) -> Split {
        let indices = self.validation.iter().flat_map(|images| &images.indices);
        let indices: Vec<usize> = indices.map(|&index| index as usize).collect();
        let of_images = |all: &Vec<Option<u32>>| {
            indices
                .iter()
                .filter_map(|&index| all.get(index).copied())
                .collect()
        };
        Split {
            of_validation: Annotations {
                cameras: of_images(&data.training.cameras),
                levels: data.training.levels().iter().map(of_images).collect(),
            },
            ..self
        }
    }

    /// Returns the super-class of each training image, if the training classes have any.
    pub(crate) fn super_classes(&self, data: &PreparedData) -> Option<Vec<i64>> {
        let of_classes = assemble::super_classes(&data.training.classes)?;
        let classes = self.classes.iter();
        Some(classes.map(|&class| of_classes[class as usize]).collect())
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

/// Returns the images of the selected classes.
fn select(labels: &[i64], is_selected: impl Fn(i64) -> bool) -> Vec<ClassedImage> {
    let images = (0..).zip(labels);
    images
        .map(|(index, &class)| ClassedImage { index, class })
        .filter(|image| is_selected(image.class))
        .collect()
}

/// Returns the images with their classes numbered from 0 in the order in which they come.
fn numbered(images: &[ClassedImage]) -> Images {
    let mut numbered = Images::default();
    let mut classes = BTreeMap::new();
    for &ClassedImage { index, class } in images {
        let next = classes.len() as i64;
        numbered.indices.push(index);
        numbered.labels.push(*classes.entry(class).or_insert(next));
    }
    numbered
}

/// Returns the images that are trained on.
///
/// # Errors
/// If there are fewer classes than the training asks for.
fn chosen(
    images: Vec<ClassedImage>,
    training: &Training,
    seed: u64,
) -> Result<Vec<ClassedImage>, Failed> {
    if let Some(wanted) = training.images.classes {
        let classes: BTreeSet<i64> = images.iter().map(|image| image.class).collect();
        if classes.len() < wanted as usize {
            return Err(Failed::recipe(format!(
                "{wanted} classes to train on, but there are only {}",
                classes.len()
            )));
        }
    }
    Ok(data::chosen(images, &training.images, seed))
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

/// Returns the images with the larger classes that the recipe trains on, if it does.
///
/// # Errors
/// If there are not at least two of them, or more than classes.
fn mapped(images: Images, recipe: &Recipe) -> Result<Images, Failed> {
    let Some(map) = recipe.training.as_ref().and_then(|one| one.label_map) else {
        return Ok(images);
    };
    let (classes, larger) = (images.classes(), map.classes as usize);
    if larger < 2 || larger > classes {
        return Err(Failed::recipe(format!(
            "a map of {classes} classes to {larger}: expected at least 2, and at most as many as there are"
        )));
    }
    let map = data::label_map(classes, larger, recipe.seed, map.index);
    let labels = images.labels.iter().map(|&class| map[class as usize]);
    Ok(Images {
        labels: labels.collect(),
        ..images
    })
}

#[cfg(test)]
mod tests {
    use schema::{
        Backbone, Cut, Dataset, Fold, Loss, Model, Optimizer, Sampler, TrainingImages, Transform,
    };

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
                classes: labels.into(),
                validation: None,
                of_validation: Annotations::default(),
            }
        );
    }

    fn training_on(images: TrainingImages) -> Training {
        let loss: Loss = serde_json::from_str(r#"{"triplet":{}}"#).unwrap();
        let sampler: Sampler = serde_json::from_str(r#"{"random":{"batch":4}}"#).unwrap();
        let optimizer: Optimizer = serde_json::from_str(r#"{"adam":{"lr":0.1}}"#).unwrap();
        Training {
            images,
            ..Training::new(loss, sampler, optimizer, 1)
        }
    }

    #[test]
    fn a_part_of_the_classes_is_trained_on_and_validation_stays_whole() {
        let labels: Vec<i64> = (0..60).map(|image| image / 6).collect();
        let split = |images| {
            let recipe = Recipe {
                training: Some(training_on(images)),
                ..recipe(Some(fold(1, 5)))
            };
            Split::new(&recipe, &labels)
        };
        let all = split(TrainingImages::default()).unwrap();
        let few = split(TrainingImages {
            classes: Some(3),
            images_per_class: Some(4),
            label_noise: 0.0,
        })
        .unwrap();
        assert_eq!(few.validation, all.validation);
        assert_eq!(few.training.labels, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        let is_known = |index: &i64| all.training.indices.contains(index);
        assert!(few.training.indices.iter().all(is_known));
        let too_many = TrainingImages {
            classes: Some(9),
            ..TrainingImages::default()
        };
        assert!(split(too_many).is_err());
    }

    #[test]
    fn wrong_labels_are_those_of_other_classes_that_are_trained_on() {
        let labels: Vec<i64> = (0..200).map(|image| image / 20).collect();
        let noisy = TrainingImages {
            label_noise: 0.4,
            ..TrainingImages::default()
        };
        let recipe = Recipe {
            training: Some(training_on(noisy)),
            ..recipe(Some(fold(0, 5)))
        };
        let split = Split::new(&recipe, &labels).unwrap();
        assert_eq!(split.training.labels.len(), 160);
        assert!(
            split
                .training
                .labels
                .iter()
                .all(|label| (0..8).contains(label))
        );
        let of_label: BTreeSet<(i64, i64)> = split
            .training
            .labels
            .iter()
            .copied()
            .zip(split.classes.iter().copied())
            .collect();
        assert_eq!(of_label.len(), 8, "a label is one class: {of_label:?}");
        let images = split.training.indices.iter().zip(&split.training.labels);
        let pairs: BTreeSet<(i64, i64)> = images
            .map(|(&image, &label)| (labels[image as usize], label))
            .collect();
        assert!(pairs.len() > 30, "{pairs:?}");
        assert_eq!(split.validation.unwrap().labels, labels[..40]);
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
