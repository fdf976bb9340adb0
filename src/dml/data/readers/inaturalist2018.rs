//! iNaturalist 2018: photographs of 8,142 species in 14 groups. Van Horn et al., 2018.
//!
//! `Inaturalist_train_set1.txt` and `Inaturalist_test_set1.txt` (Brown et al., "Smooth-AP", 2020) have a path in each
//! line that ends with the group, the number of the species and the file. The images are the official ones to train and
//! to validate on, in `train_val2018`.
//!
//! If the official `categories.json` or `train2018.json` is beside them, genus, family, order, class, phylum and kingdom
//! of each species are its super-classes, instead of the group.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{Class, DataError, Layout, Listing, Part, Row, part, text};

pub(super) const LAYOUTS: [Layout; 1] = [Layout {
    name: "`Inaturalist_train_set1.txt` and `Inaturalist_test_set1.txt` with the folder `train_val2018`",
    list: smooth_ap,
}];

const TRAINING: &str = "Inaturalist_train_set1.txt";
const TEST: &str = "Inaturalist_test_set1.txt";

fn smooth_ap(root: &Path) -> Result<Option<Listing>, DataError> {
    let Some(lists) = folder_of_lists(root) else {
        return Ok(None);
    };
    let images = root.join("train_val2018");
    if !images.is_dir() {
        return Err(DataError::missing(
            &images,
            "the folder of images that the lists name",
        ));
    }
    let taxonomy = taxonomy(root)?;
    let half = |list| half(&lists.join(list), &images, taxonomy.as_ref());
    Ok(Some(Listing {
        training: half(TRAINING)?,
        test: half(TEST)?,
    }))
}

/// The lists are beside the images, or in the folder as which they are passed on.
fn folder_of_lists(root: &Path) -> Option<PathBuf> {
    let folders = [root.to_owned(), root.join("Inat_dataset_splits")];
    folders
        .into_iter()
        .find(|folder| folder.join(TRAINING).is_file())
}

/// The taxonomy of each species, by its number.
type Taxonomy = HashMap<u32, Species>;

/// A species in the official files.
#[derive(Deserialize)]
struct Species {
    id: u32,
    genus: String,
    family: String,
    order: String,
    class: String,
    phylum: String,
    kingdom: String,
}

/// The part of the official list of images that is about species.
#[derive(Deserialize)]
struct ImageList {
    categories: Vec<Species>,
}

/// Returns the taxonomy, if one of the official files is there.
fn taxonomy(root: &Path) -> Result<Option<Taxonomy>, DataError> {
    let species = match json::<Vec<Species>>(&root.join("categories.json"))? {
        Some(species) => Some(species),
        None => json::<ImageList>(&root.join("train2018.json"))?.map(|list| list.categories),
    };
    let by_number = |species: Species| (species.id, species);
    Ok(species.map(|species| species.into_iter().map(by_number).collect()))
}

/// Reads a JSON file, if it is there.
fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DataError> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = durable::read(path).map_err(|error| DataError::unreadable(path, error))?;
    let read = serde_json::from_slice(&bytes);
    read.map(Some)
        .map_err(|error| DataError::unreadable(path, error))
}

impl Species {
    fn class(&self, name: &str) -> Class {
        let wider = [
            &self.family,
            &self.order,
            &self.class,
            &self.phylum,
            &self.kingdom,
        ];
        Class {
            name: name.to_owned(),
            category: Some(self.genus.clone()),
            wider: wider.map(String::clone).to_vec(),
        }
    }
}

fn half(list: &Path, images: &Path, taxonomy: Option<&Taxonomy>) -> Result<Part, DataError> {
    let lines = text::required(list, "the list of one half")?;
    let row = |line: &text::TextLine| {
        let mut parts = line.text.rsplit('/');
        let (Some(file), Some(species), Some(group)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(line.wrong("expected a path that ends with a group, a species and a file"));
        };
        let number = line.number(species)?;
        let class = match taxonomy {
            None => Class {
                name: species.to_owned(),
                category: Some(group.to_owned()),
                wider: Vec::new(),
            },
            Some(taxonomy) => match taxonomy.get(&number) {
                Some(known) => known.class(species),
                None => return Err(line.wrong(format!("species {number} is not in the taxonomy"))),
            },
        };
        let path = images.join(group).join(species).join(file);
        Ok(Row {
            class,
            ..Row::new(number, "", path)
        })
    };
    Ok(part(
        lines.iter().map(row).collect::<Result<_, DataError>>()?,
    ))
}
