//! Titles of data sets.
//!
//! A data set is identified by its value, [`Dataset`]. Its title is made where something is printed,
//! and here alone: where two data sets of a sweep have the same title, the settings in which they
//! differ are added, as in `Glyphs (synthetic), 20 classes`.

use schema::{Dataset, Glyphs};

/// The distinct data sets of a sweep by first appearance, each with a title of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Titles(Vec<(Dataset, String)>);

impl Titles {
    /// Gives each of these data sets a title.
    pub fn of<'a>(datasets: impl IntoIterator<Item = &'a Dataset>) -> Titles {
        let mut distinct: Vec<&Dataset> = Vec::new();
        for dataset in datasets {
            if !distinct.contains(&dataset) {
                distinct.push(dataset);
            }
        }
        let titles = distinct
            .iter()
            .map(|dataset| ((*dataset).clone(), title(dataset, &distinct)));
        Titles(titles.collect())
    }

    /// True if there are several data sets, so that a name has to include its data set.
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// The title of a data set.
    pub fn title<'t>(&'t self, dataset: &'t Dataset) -> &'t str {
        match self.position(dataset) {
            Some(position) => self.at(position),
            None => dataset.title(),
        }
    }

    /// The position of a data set by first appearance.
    pub(crate) fn position(&self, dataset: &Dataset) -> Option<usize> {
        self.0.iter().position(|(known, _)| known == dataset)
    }

    /// The title of the data set at a position.
    pub(crate) fn at(&self, position: usize) -> &str {
        &self.0[position].1
    }
}

/// The title, followed by the settings that no other data set with the same title shares.
fn title(dataset: &Dataset, all: &[&Dataset]) -> String {
    let mut title = dataset.title().to_owned();
    let others: Vec<Vec<String>> = all
        .iter()
        .filter(|other| **other != dataset && other.title() == dataset.title())
        .map(|other| settings(other))
        .collect();
    for setting in settings(dataset) {
        if others.iter().any(|other| !other.contains(&setting)) {
            title.push_str(", ");
            title.push_str(&setting);
        }
    }
    title
}

/// The settings of a data set in words.
fn settings(dataset: &Dataset) -> Vec<String> {
    match dataset {
        Dataset::Glyphs(Glyphs {
            classes,
            test_classes,
            per_class,
            seed,
        }) => vec![
            format!("{classes} classes"),
            format!("{test_classes} test classes"),
            format!("{per_class} images per class"),
            format!("seed {seed}"),
        ],
        Dataset::Own(_) => vec!["own images".to_owned()],
        Dataset::Omniglot
        | Dataset::Cub200
        | Dataset::Cars196
        | Dataset::Inaturalist2018
        | Dataset::VehicleIdSmall
        | Dataset::VehicleIdMedium
        | Dataset::VehicleIdLarge
        | Dataset::Sop
        | Dataset::SopHalves
        | Dataset::InShop => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use schema::Own;

    use super::*;

    fn glyphs(classes: u32, seed: u64) -> Dataset {
        Dataset::Glyphs(Glyphs {
            classes,
            test_classes: 10,
            per_class: 20,
            seed,
        })
    }

    fn titles(datasets: &[Dataset]) -> Vec<String> {
        let titles = Titles::of(datasets);
        datasets
            .iter()
            .map(|dataset| titles.title(dataset).to_owned())
            .collect()
    }

    #[test]
    fn a_title_has_nothing_added_that_tells_nothing_apart() {
        let datasets = [glyphs(20, 0), Dataset::Omniglot, glyphs(20, 0)];
        assert_eq!(
            titles(&datasets),
            ["Glyphs (synthetic)", "Omniglot", "Glyphs (synthetic)"]
        );
    }

    #[test]
    fn data_sets_with_one_title_are_told_apart_by_what_differs() {
        assert_eq!(
            titles(&[glyphs(20, 0), glyphs(40, 0)]),
            [
                "Glyphs (synthetic), 20 classes",
                "Glyphs (synthetic), 40 classes"
            ]
        );
        assert_eq!(
            titles(&[glyphs(20, 0), glyphs(20, 1), glyphs(10, 1)]),
            [
                "Glyphs (synthetic), 20 classes, seed 0",
                "Glyphs (synthetic), 20 classes, seed 1",
                "Glyphs (synthetic), 10 classes, seed 1"
            ]
        );
        let own = Dataset::Own(Own {
            name: "Omniglot".to_owned(),
        });
        assert_eq!(
            titles(&[Dataset::Omniglot, own]),
            ["Omniglot", "Omniglot, own images"]
        );
    }
}
