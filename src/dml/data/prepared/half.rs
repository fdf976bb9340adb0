//! What is known of the images of a prepared data set, beside their pixels.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::data::listing::{Class, Part, Role};

/// One half of a data set: its classes, and what is known of each image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Half {
    /// The names of the classes, in the order of their labels.
    pub classes: Vec<String>,
    /// The super-class of each class. Empty: there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Option<String>>,
    /// The wider super-classes of each class, the narrowest first. Empty: there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wider: Vec<Vec<String>>,
    /// The class of each image, from 0.
    pub labels: Vec<i64>,
    /// The role of each image in retrieval. Empty: all are queries and references; there is one for each image once
    /// the data set is open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// The camera of each image, from 0 in each half. Empty: no image has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cameras: Vec<Option<u32>>,
    /// The file of each image, relative to the data set's own folder if it is below it. Empty: they are drawn, or
    /// an earlier version prepared them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<PathBuf>,
}

impl Half {
    /// Returns classes of drawings.
    pub(super) fn of_glyphs(classes: Range<u32>, per_class: u32) -> Half {
        let labels = 0..classes.len() as i64;
        Half {
            classes: classes.map(|class| format!("glyph{class:06}")).collect(),
            labels: labels
                .flat_map(|class| (0..per_class).map(move |_| class))
                .collect(),
            ..Half::default()
        }
    }

    /// Returns what is known of the files of one part of a listing.
    pub(super) fn of(part: &Part, root: &Path) -> Half {
        let names = part.images.iter().map(|image| below(&image.path, root));
        Half {
            classes: part.classes.iter().map(Class::full_name).collect(),
            categories: categories(part),
            labels: part.images.iter().map(|image| image.class.into()).collect(),
            roles: roles(part),
            wider: wider(part),
            cameras: part.cameras(),
            names: names.collect(),
        }
    }

    /// Returns for each level of super-classes, the narrowest first, that of each image, by number.
    pub fn levels(&self) -> Vec<Vec<Option<u32>>> {
        levels(&self.labels, &self.categories, &self.wider)
    }

    /// True if these are its numbers of classes and images, and it tells either nothing of a kind or something for each of them.
    pub(super) fn fits(&self, classes: u64, images: u64) -> bool {
        let of_classes = [self.categories.len(), self.wider.len()];
        let of_images = [self.roles.len(), self.cameras.len(), self.names.len()];
        let is_known = |label: &i64| (0..self.classes.len() as i64).contains(label);
        (self.classes.len() as u64, self.labels.len() as u64) == (classes, images)
            && self.labels.iter().all(is_known)
            && are_none_or(&of_classes, self.classes.len())
            && are_none_or(&of_images, self.labels.len())
    }
}

fn are_none_or(lengths: &[usize], length: usize) -> bool {
    lengths.iter().all(|found| [0, length].contains(found))
}

/// Returns the super-class of each class; nothing if there are none.
fn categories(part: &Part) -> Vec<Option<String>> {
    let classes = part.classes.iter();
    match classes.clone().all(|class| class.category.is_none()) {
        true => Vec::new(),
        false => classes.map(|class| class.category.clone()).collect(),
    }
}

/// Returns the wider super-classes of each class; nothing if there are none.
fn wider(part: &Part) -> Vec<Vec<String>> {
    let classes = part.classes.iter();
    match classes.clone().all(|class| class.wider.is_empty()) {
        true => Vec::new(),
        false => classes.map(|class| class.wider.clone()).collect(),
    }
}

/// Returns the role of each image; nothing if all are queries and references.
fn roles(part: &Part) -> Vec<Role> {
    let images = part.images.iter();
    match images.clone().all(|image| image.role == Role::Both) {
        true => Vec::new(),
        false => images.map(|image| image.role).collect(),
    }
}

/// Returns the path relative to `root`, if it is below it.
fn below(path: &Path, root: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}

/// Returns the levels of super-classes of images with these classes. Two of one name are the same if the wider ones in
/// which they lie are: there are a bird and a plant called *Prunella*.
fn levels(
    labels: &[i64],
    categories: &[Option<String>],
    wider: &[Vec<String>],
) -> Vec<Vec<Option<u32>>> {
    let wider_than = |class: usize| wider.get(class).into_iter().flatten();
    let all = |class: usize| categories[class].iter().chain(wider_than(class));
    let lineages: Vec<Vec<&String>> = (0..categories.len())
        .map(|class| all(class).collect())
        .collect();
    let levels = lineages.iter().map(Vec::len).max().unwrap_or(0);
    (0..levels)
        .map(|level| of_images(labels, &lineages, level))
        .collect()
}

/// Returns the number of the super-class of each image at a level, from those of the classes.
fn of_images(labels: &[i64], lineages: &[Vec<&String>], level: usize) -> Vec<Option<u32>> {
    let mut numbers = BTreeMap::new();
    let mut of_classes = Vec::with_capacity(lineages.len());
    for lineage in lineages {
        let next = numbers.len() as u32;
        let from_here = lineage.get(level..).filter(|rest| !rest.is_empty());
        of_classes.push(from_here.map(|rest| *numbers.entry(rest).or_insert(next)));
    }
    labels
        .iter()
        .map(|label| of_classes[*label as usize])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_wider_super_classes_share_their_numbers() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let categories = ["tit", "crow", "tit"].map(|name| Some(name.to_owned()));
        let wider: [Vec<String>; 3] = [
            names(&["bird", "animal"]),
            names(&["bird", "animal"]),
            names(&["toy"]),
        ];
        assert_eq!(
            levels(&[0, 0, 1, 2], &categories, &wider),
            [
                [Some(0), Some(0), Some(1), Some(2)],
                [Some(0), Some(0), Some(0), Some(1)],
                [Some(0), Some(0), Some(0), None]
            ]
        );
        assert_eq!(levels(&[0, 1], &categories, &[]), [[Some(0), Some(1)]]);
        assert!(levels(&[0, 1], &[], &[]).is_empty());
    }
}
