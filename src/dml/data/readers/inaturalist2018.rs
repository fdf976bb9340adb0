//! iNaturalist 2018: photographs of 8,142 species in 14 groups. Van Horn et al., 2018.
//!
//! `Inaturalist_train_set1.txt` and `Inaturalist_test_set1.txt` (Brown et al., "Smooth-AP", 2020) have a path in each
//! line that ends with the group, the number of the species and the file. The images are the official ones to train and
//! to validate on, in `train_val2018`.

use std::path::{Path, PathBuf};

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
    let half = |list| half(&lists.join(list), &images);
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

fn half(list: &Path, images: &Path) -> Result<Part, DataError> {
    let lines = text::required(list, "the list of one half")?;
    let row = |line: &text::TextLine| {
        let mut parts = line.text.rsplit('/');
        let (Some(file), Some(species), Some(group)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(line.wrong("expected a path that ends with a group, a species and a file"));
        };
        let class = Class {
            name: species.to_owned(),
            category: Some(group.to_owned()),
            wider: Vec::new(),
        };
        let path = images.join(group).join(species).join(file);
        Ok(Row {
            class,
            ..Row::new(line.number(species)?, "", path)
        })
    };
    Ok(part(
        lines.iter().map(row).collect::<Result<_, DataError>>()?,
    ))
}
