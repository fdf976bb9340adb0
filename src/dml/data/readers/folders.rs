//! A folder for each class, whose name is the name of the class.
//!
//! Below `train` and `test` they are the two halves. All together, here or in `images`, the first half of the
//! sorted classes is trained on and the others tested on.

use std::{collections::BTreeSet, path::Path};

use super::{DataError, Layout, Listing, Row, folders_in, halves, inside, is_image, part};

pub(super) const LAYOUTS: [Layout; 2] = [
    Layout {
        name: "class folders below `train` and `test`",
        list: apart,
    },
    Layout {
        name: "a folder for each class",
        list: together,
    },
];

type FolderRows = Vec<Row<String>>;

fn apart(root: &Path) -> Result<Option<Listing>, DataError> {
    let Some((training, test)) = train_and_test(root)? else {
        return Ok(None);
    };
    Ok(Some(Listing {
        training: part(training),
        test: part(test),
    }))
}

/// The images of `train` and `test` as one, for data sets whose images were split for classification.
/// Nothing if the two have different classes.
pub(super) fn merged(root: &Path) -> Result<Option<Listing>, DataError> {
    let Some((mut all, test)) = train_and_test(root)? else {
        return Ok(None);
    };
    let classes = |rows: &FolderRows| {
        rows.iter()
            .map(|row| row.key.clone())
            .collect::<BTreeSet<_>>()
    };
    let same = classes(&all) == classes(&test);
    all.extend(test);
    Ok(same.then(|| halves(all)))
}

fn together(root: &Path) -> Result<Option<Listing>, DataError> {
    let images = root.join("images");
    let rows = rows(if images.is_dir() { &images } else { root })?;
    Ok((!rows.is_empty()).then(|| halves(rows)))
}

fn train_and_test(root: &Path) -> Result<Option<(FolderRows, FolderRows)>, DataError> {
    let [train, test] = ["train", "test"].map(|half| root.join(half));
    if !train.is_dir() || !test.is_dir() {
        return Ok(None);
    }
    let (training, test) = (rows(&train)?, rows(&test)?);
    Ok((!training.is_empty() && !test.is_empty()).then_some((training, test)))
}

fn rows(folder: &Path) -> Result<FolderRows, DataError> {
    let mut rows = Vec::new();
    for (class, path) in folders_in(folder)? {
        let images = inside(&path)?
            .into_iter()
            .filter(|(name, _)| is_image(name));
        rows.extend(images.map(|(_, path)| Row::new(class.clone(), class.clone(), path)));
    }
    Ok(rows)
}
