//! The classes of a data set and the files of their images, before any image is decoded.
//!
//! A reader returns a [`Listing`], and a [`Preparation`](super::Preparation) starts from one. Its
//! consistency is checked in one place: [`Listing::check`].

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use schema::{Counts, Half};
use serde::{Deserialize, Serialize};

/// A data set's files, in two halves that share no class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// What is trained on and validated on.
    pub training: Part,
    /// What is tested on.
    pub test: Part,
}

/// One half: its classes and its images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The classes, in the order of their labels.
    pub classes: Vec<Class>,
    /// The images, in the order of classes, then of names.
    pub images: Vec<Image>,
}

/// A class of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name, unique in its half.
    pub name: String,
    /// Its super-class, if the data set has any: a kind of product, an alphabet.
    pub category: Option<String>,
    /// The wider super-classes in which that one lies, each in the next.
    pub wider: Vec<String>,
}

/// The file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its class: an index into [`Part::classes`].
    pub class: u32,
    /// Its role in retrieval.
    pub role: Role,
    /// The bounding box: left, top, right, bottom in pixels; right and bottom are the first column and row
    /// outside of it. Absent: the whole image.
    pub bounding_box: Option<[u32; 4]>,
    /// The camera that took it, or the sequence that it is from. A query does not search the images of its class from its
    /// own. Absent: unknown.
    pub camera: Option<String>,
}

/// The role of an image in retrieval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A query, and a reference for all other queries.
    #[default]
    Both,
    /// A query only.
    Query,
    /// A reference only.
    Gallery,
}

impl Role {
    /// Returns true if it is a query.
    pub fn is_query(self) -> bool {
        self != Role::Gallery
    }

    /// Returns true if it is a reference.
    pub fn is_reference(self) -> bool {
        self != Role::Query
    }
}

/// Why a listing cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListingError {
    /// Nothing to train on, or nothing to test on.
    #[error("there are no {0} images")]
    Empty(&'static str),
    /// Images that cannot be told apart, or two classes that must be one.
    #[error("the {half} half has {what} `{name}` twice")]
    Twice {
        /// Which half.
        half: &'static str,
        /// A class or a file.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Training and test images of one class: nothing unseen would be tested.
    #[error("{} in both halves: `{first}`{}", counted(*.classes, "class is", "classes are"), more(*.classes))]
    Shared {
        /// How many.
        classes: usize,
        /// The first of them.
        first: String,
    },
    /// The same file to train on and to test on.
    #[error("`{}` is in both halves", .0.display())]
    SharedFile(PathBuf),
    /// A class that nothing shows.
    #[error("no image shows the {half} class `{class}`")]
    NoImage {
        /// Which half.
        half: &'static str,
        /// The class.
        class: String,
    },
    /// An image of a class that there is not.
    #[error("`{}` is of class {class}, but there are {classes}, counted from 0", path.display())]
    NoClass {
        /// The image.
        path: PathBuf,
        /// Its class.
        class: u32,
        /// How many there are.
        classes: usize,
    },
    /// A box without pixels.
    #[error("the box {bounding_box:?} of `{}` has no pixels", path.display())]
    EmptyBox {
        /// The image.
        path: PathBuf,
        /// Its box.
        bounding_box: [u32; 4],
    },
    /// Queries for which there is nothing right to find.
    #[error("{} no gallery image: `{first}`{}", counted(*.classes, "query class has", "query classes have"), more(*.classes))]
    NoGallery {
        /// How many classes.
        classes: usize,
        /// The first of them.
        first: String,
    },
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn more(count: usize) -> &'static str {
    if count > 1 { ", …" } else { "" }
}

impl Listing {
    /// Returns both halves with their names.
    pub fn halves(&self) -> [(&'static str, &Part); 2] {
        [("training", &self.training), ("test", &self.test)]
    }

    /// Returns the same images with a new split: the first half of all classes, rounded down, to train on, and
    /// the others to test on.
    #[must_use]
    pub fn in_halves(self) -> Listing {
        let classes = self.class_count();
        self.split_before(classes / 2)
    }

    /// Returns the number of classes of both halves.
    pub fn class_count(&self) -> usize {
        self.training.classes.len() + self.test.classes.len()
    }

    /// Returns the images of the classes that have a half, in these halves.
    #[must_use]
    pub fn divided(self, half_of: impl Fn(&Class) -> Option<Half>) -> Listing {
        let classes = self.class_count();
        let whole = self.split_before(classes).training;
        let mut divided = Listing::default();
        let mut places = Vec::with_capacity(classes);
        for class in whole.classes {
            let half = half_of(&class);
            places.push(half.map(|half| {
                let classes = &mut divided.half(half).classes;
                classes.push(class);
                (half, classes.len() as u32 - 1)
            }));
        }
        for image in whole.images {
            if let Some((half, class)) = places[image.class as usize] {
                divided.half(half).images.push(Image { class, ..image });
            }
        }
        divided
    }

    fn half(&mut self, half: Half) -> &mut Part {
        match half {
            Half::Train => &mut self.training,
            Half::Test => &mut self.test,
        }
    }

    /// Returns the same images with a new split: this fraction of all classes, rounded, to test on, and the first others
    /// to train on.
    #[must_use]
    pub fn tested_on(self, fraction: f64) -> Listing {
        let classes = self.class_count();
        let tested = (fraction * classes as f64).round() as usize;
        self.split_before(classes.saturating_sub(tested))
    }

    /// Returns the same images, with the first `half` classes to train on and the others to test on.
    fn split_before(mut self, half: usize) -> Listing {
        let training = self.training.classes.len();
        self.training.classes.append(&mut self.test.classes);
        let moved = self.test.images.drain(..).map(|image| Image {
            class: image.class + training as u32,
            ..image
        });
        self.training.images.extend(moved);
        let first = self
            .training
            .images
            .partition_point(|image| (image.class as usize) < half);
        let others = self.training.images.split_off(first).into_iter();
        self.test.images = others
            .map(|image| Image {
                class: image.class - half as u32,
                ..image
            })
            .collect();
        self.test.classes = self.training.classes.split_off(half);
        self
    }

    /// Returns the number of classes and images.
    pub fn counts(&self) -> Counts {
        Counts {
            training_classes: self.training.classes.len() as u64,
            training_images: self.training.images.len() as u64,
            test_classes: self.test.classes.len() as u64,
            test_images: self.test.images.len() as u64,
            queries: self.test.count(Role::is_query),
            references: self.test.count(Role::is_reference),
        }
    }

    /// Checks that the halves share no class and no file, that labels, names and boxes are consistent, and
    /// that each query class has a gallery image.
    ///
    /// A test class with a single image is no error, as it can be a distractor; see
    /// [`Part::classes_without_positive`].
    ///
    /// # Errors
    /// Returns the first fault.
    pub fn check(&self) -> Result<(), ListingError> {
        for (half, part) in self.halves() {
            part.check(half)?;
        }
        self.check_disjoint()?;
        self.test.check_gallery()
    }

    fn check_disjoint(&self) -> Result<(), ListingError> {
        let names: BTreeSet<&str> = self
            .training
            .classes
            .iter()
            .map(|class| class.name.as_str())
            .collect();
        let mut shared = self
            .test
            .classes
            .iter()
            .filter(|class| names.contains(class.name.as_str()));
        if let Some(first) = shared.next() {
            return Err(ListingError::Shared {
                classes: 1 + shared.count(),
                first: first.name.clone(),
            });
        }
        let paths: BTreeSet<&PathBuf> = self
            .training
            .images
            .iter()
            .map(|image| &image.path)
            .collect();
        let shared = self
            .test
            .images
            .iter()
            .find(|image| paths.contains(&image.path));
        shared.map_or(Ok(()), |image| {
            Err(ListingError::SharedFile(image.path.clone()))
        })
    }
}

impl Class {
    /// Returns its name after that of its super-class, as in `bicycle/1`. A name that already starts with it,
    /// as in `Korean/character05`, is returned as it is.
    pub fn full_name(&self) -> String {
        let Some(category) = &self.category else {
            return self.name.clone();
        };
        let category = category.replace('/', "-") + "/";
        if self.name.starts_with(&category) {
            self.name.clone()
        } else {
            category + &self.name
        }
    }
}

impl Part {
    /// Returns the number of images of each class.
    pub fn sizes(&self) -> Vec<u32> {
        let mut sizes = vec![0; self.classes.len()];
        for image in &self.images {
            sizes[image.class as usize] += 1;
        }
        sizes
    }

    /// Returns the classes with a single image, whose query has no positive.
    pub fn classes_without_positive(&self) -> Vec<&Class> {
        self.classes
            .iter()
            .zip(self.sizes())
            .filter(|(_, size)| *size == 1)
            .map(|(class, _)| class)
            .collect()
    }

    /// Returns the number of queries that have another image of their class, and not of their camera, among the
    /// references.
    pub fn queries_with_positive(&self) -> u64 {
        let mut of_class = vec![0; self.classes.len()];
        let mut of_camera: BTreeMap<(u32, &str), u32> = BTreeMap::new();
        for image in self.images.iter().filter(|image| image.role.is_reference()) {
            of_class[image.class as usize] += 1;
            if let Some(camera) = &image.camera {
                *of_camera.entry((image.class, camera)).or_default() += 1;
            }
        }
        let not_searched = |image: &Image| match &image.camera {
            Some(camera) => of_camera.get(&(image.class, camera)).copied().unwrap_or(0),
            None => u32::from(image.role.is_reference()),
        };
        let has_positive = |image: &&Image| {
            image.role.is_query() && of_class[image.class as usize] > not_searched(image)
        };
        self.images.iter().filter(has_positive).count() as u64
    }

    /// Returns the number of cameras.
    pub fn camera_count(&self) -> u64 {
        let cameras = self
            .images
            .iter()
            .filter_map(|image| image.camera.as_deref());
        cameras.collect::<BTreeSet<_>>().len() as u64
    }

    /// Returns the camera of each image, numbered from 0 in the order in which they come. Empty: no image has one.
    pub fn cameras(&self) -> Vec<Option<u32>> {
        let mut numbers = BTreeMap::new();
        let number = |image: &Image| {
            let camera = image.camera.as_deref()?;
            let next = numbers.len() as u32;
            Some(*numbers.entry(camera.to_owned()).or_insert(next))
        };
        let cameras: Vec<Option<u32>> = self.images.iter().map(number).collect();
        if cameras.iter().all(Option::is_none) {
            return Vec::new();
        }
        cameras
    }

    /// Returns the number of images whose role satisfies the condition.
    pub fn count(&self, condition: fn(Role) -> bool) -> u64 {
        let images = self.images.iter();
        images.filter(|image| condition(image.role)).count() as u64
    }

    fn check(&self, half: &'static str) -> Result<(), ListingError> {
        if self.images.is_empty() {
            return Err(ListingError::Empty(half));
        }
        let twice = |what, name: &str| {
            Err(ListingError::Twice {
                half,
                what,
                name: name.to_owned(),
            })
        };
        if let Some(name) = first_twice(self.classes.iter().map(|class| &class.name)) {
            return twice("the class", name);
        }
        if let Some(path) = first_twice(self.images.iter().map(|image| &image.path)) {
            return twice("the file", &path.to_string_lossy());
        }
        self.images
            .iter()
            .try_for_each(|image| image.check(self.classes.len()))?;
        match self.sizes().iter().position(|&size| size == 0) {
            Some(class) => Err(ListingError::NoImage {
                half,
                class: self.classes[class].name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Checks that every class with queries that are no references has a reference.
    fn check_gallery(&self) -> Result<(), ListingError> {
        let mut roles: BTreeMap<u32, (bool, bool)> = BTreeMap::new();
        for image in &self.images {
            let (query, reference) = roles.entry(image.class).or_default();
            *query |= image.role == Role::Query;
            *reference |= image.role.is_reference();
        }
        let mut without = roles
            .iter()
            .filter(|(_, role)| **role == (true, false))
            .map(|(class, _)| *class as usize);
        match without.next() {
            Some(first) => Err(ListingError::NoGallery {
                classes: 1 + without.count(),
                first: self.classes[first].name.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl Image {
    fn check(&self, classes: usize) -> Result<(), ListingError> {
        let path = || self.path.clone();
        if self.class as usize >= classes {
            return Err(ListingError::NoClass {
                path: path(),
                class: self.class,
                classes,
            });
        }
        match self.bounding_box {
            Some(bounding_box @ [left, top, right, bottom]) if left >= right || top >= bottom => {
                Err(ListingError::EmptyBox {
                    path: path(),
                    bounding_box,
                })
            }
            _ => Ok(()),
        }
    }
}

fn first_twice<T: Ord>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    for item in items {
        if seen.contains(&item) {
            return Some(item);
        }
        seen.insert(item);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(classes: &[(&str, &[Role])]) -> Part {
        let mut part = Part::default();
        for (class, (name, roles)) in (0..).zip(classes) {
            part.classes.push(Class {
                name: (*name).to_owned(),
                category: None,
                wider: Vec::new(),
            });
            part.images
                .extend(roles.iter().enumerate().map(|(place, &role)| Image {
                    path: format!("/data/{name}/{place}.jpg").into(),
                    class,
                    role,
                    bounding_box: None,
                    camera: None,
                }));
        }
        part
    }

    const TWO: &[Role] = &[Role::Both, Role::Both];

    fn listing() -> Listing {
        let test = part(&[
            ("c", &[Role::Query, Role::Gallery, Role::Gallery]),
            ("d", &[Role::Both]),
        ]);
        Listing {
            training: part(&[("a", TWO), ("b", TWO)]),
            test,
        }
    }

    #[test]
    fn queries_and_references_are_counted_apart() {
        assert_eq!(listing().check(), Ok(()));
        let counts = listing().counts();
        assert_eq!((counts.training_classes, counts.training_images), (2, 4));
        assert_eq!(
            (
                counts.test_classes,
                counts.test_images,
                counts.queries,
                counts.references
            ),
            (2, 4, 2, 3)
        );
    }

    #[test]
    fn a_class_with_one_image_has_no_positive() {
        let listing = listing();
        let single: Vec<&str> = listing
            .test
            .classes_without_positive()
            .iter()
            .map(|class| class.name.as_str())
            .collect();
        assert_eq!(single, ["d"]);
        assert!(listing.training.classes_without_positive().is_empty());
    }

    #[test]
    fn a_query_needs_another_image_of_its_class_among_the_references() {
        let count = |classes: &[(&str, &[Role])]| part(classes).queries_with_positive();
        assert_eq!(count(&[("a", TWO), ("b", &[Role::Both])]), 2);
        assert_eq!(count(&[("a", &[Role::Both]), ("b", &[Role::Both])]), 0);
        assert_eq!(
            count(&[("a", &[Role::Query, Role::Gallery, Role::Gallery])]),
            1
        );
        assert_eq!(
            count(&[
                ("a", &[Role::Query, Role::Query]),
                ("b", &[Role::Gallery; 3])
            ]),
            0
        );
    }

    #[test]
    fn what_only_the_camera_of_a_query_saw_is_nothing_to_find() {
        let with = |cameras: [Option<&str>; 3], roles: [Role; 3]| {
            let mut part = part(&[("a", &roles)]);
            for (image, camera) in part.images.iter_mut().zip(cameras) {
                image.camera = camera.map(str::to_owned);
            }
            part.queries_with_positive()
        };
        let (one, other) = (Some("1"), Some("2"));
        assert_eq!(with([one, one, one], [Role::Both; 3]), 0);
        assert_eq!(with([one, one, other], [Role::Both; 3]), 3);
        assert_eq!(with([one, one, None], [Role::Both; 3]), 3);
        let apart = [Role::Query, Role::Gallery, Role::Query];
        assert_eq!(with([one, one, other], apart), 1);
        assert_eq!(with([one, other, other], apart), 1);
        assert_eq!(with([None, None, None], apart), 2);
    }

    #[test]
    fn halves_are_cut_anew_rounded_down() {
        let listing = Listing {
            test: part(&[("c", TWO), ("d", TWO), ("e", TWO)]),
            ..listing()
        };
        let counts = |listing: &Listing| {
            (
                listing.counts().training_classes,
                listing.counts().test_images,
            )
        };
        let all: Vec<_> = listing
            .halves()
            .into_iter()
            .flat_map(|(_, part)| part.images.clone())
            .collect();
        let halves = Listing {
            training: Part::default(),
            ..listing
        }
        .in_halves();
        assert_eq!(counts(&halves), (1, 4));
        assert_eq!(
            halves
                .test
                .images
                .iter()
                .map(|image| image.class)
                .collect::<Vec<_>>(),
            [0, 0, 1, 1]
        );
        let again = Listing {
            training: part(&[("a", TWO), ("b", TWO)]),
            test: part(&[("c", TWO), ("d", TWO), ("e", TWO)]),
        };
        let again = again.in_halves();
        assert_eq!((counts(&again), again.check()), ((2, 6), Ok(())));
        assert_eq!(
            again
                .halves()
                .into_iter()
                .flat_map(|(_, part)| &part.images)
                .count(),
            all.len()
        );
    }

    #[test]
    fn a_full_name_begins_with_the_super_class() {
        let class = Class {
            name: "id_1".into(),
            category: Some("WOMEN/Dresses".into()),
            wider: Vec::new(),
        };
        assert_eq!(class.full_name(), "WOMEN-Dresses/id_1");
        let class = Class {
            name: "Korean/character05".into(),
            category: Some("Korean".into()),
            wider: Vec::new(),
        };
        assert_eq!(class.full_name(), "Korean/character05");
    }

    #[test]
    fn every_fault_is_named() {
        let refused = |change: fn(&mut Listing), says: &str| {
            let mut listing = listing();
            change(&mut listing);
            let error = listing.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        refused(|l| l.test = Part::default(), "no test images");
        refused(
            |l| l.test.classes[1].name = "c".into(),
            "the test half has the class `c` twice",
        );
        refused(
            |l| l.test.images[1].path = "/data/c/0.jpg".into(),
            "has the file `/data/c/0.jpg` twice",
        );
        refused(
            |l| l.test.classes[1].name = "b".into(),
            "1 class is in both halves: `b`",
        );
        refused(
            |l| l.test.images[0].path = "/data/a/0.jpg".into(),
            "`/data/a/0.jpg` is in both halves",
        );
        refused(
            |l| l.training.images[3].class = 2,
            "of class 2, but there are 2",
        );
        refused(
            |l| l.training.images.truncate(2),
            "no image shows the training class `b`",
        );
        refused(
            |l| l.test.images[0].bounding_box = Some([4, 0, 4, 9]),
            "has no pixels",
        );
        refused(
            |l| l.test.images[3].role = Role::Query,
            "1 query class has no gallery image: `d`",
        );
    }
}
