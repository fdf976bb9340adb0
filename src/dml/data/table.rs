//! The table of images of a data set, `listing.csv`, as a [`Listing`].

use std::{io, path::Path};

use schema::{Half, ListedImage, ListedRow, ListingFault, listed_rows, listing_text};

use super::{
    DataError,
    listing::{Class, Image, Listing, Part, Role},
    readers::{Row, part},
};

/// Reads the table of a data set. Returns exactly the listing that [`write`] was given.
///
/// # Errors
/// If the table is missing or damaged.
pub(super) fn read(path: &Path) -> Result<Listing, DataError> {
    let root = path.parent().unwrap_or(Path::new("."));
    let rows = rows(path).map_err(|fault| unread(path, &fault))?;
    let (mut training, mut test) = (Vec::new(), Vec::new());
    for image in rows.into_iter().map(|row| row.image) {
        let half = match image.split {
            Half::Train => &mut training,
            Half::Test => &mut test,
        };
        half.push(row(image, root));
    }
    Ok(Listing {
        training: part(training),
        test: part(test),
    })
}

/// Reads the rows of a table of images.
///
/// # Errors
/// If it cannot be read, or a row is not as it was written.
pub(super) fn rows(table: &Path) -> Result<Vec<ListedRow>, ListingFault> {
    let text = durable::read(table).map_err(ListingFault::Unreadable)?;
    listed_rows(&text)
}

fn unread(path: &Path, fault: &ListingFault) -> DataError {
    match fault {
        ListingFault::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => {
            DataError::missing(path, "a table of images")
        }
        _ => DataError::unreadable(path, fault),
    }
}

fn row(image: ListedImage, root: &Path) -> Row<u32> {
    Row {
        key: image.label,
        path: root.join(&image.path),
        role: role(&image),
        bounding_box: image.bounding_box(),
        camera: image.camera,
        class: Class {
            name: image.class_name,
            category: image.category,
            wider: image.wider,
        },
    }
}

fn role(image: &ListedImage) -> Role {
    match (image.is_query, image.is_gallery) {
        (Some(true), Some(false)) => Role::Query,
        (Some(false), Some(true)) => Role::Gallery,
        _ => Role::Both,
    }
}

/// Writes a listing as a table whose paths are relative to `root`, if they are below it.
///
/// # Errors
/// If a path is not valid UTF-8, or the disk does not take the table.
pub(super) fn write(listing: &Listing, root: &Path, path: &Path) -> Result<(), DataError> {
    let Listing { training, test } = listing;
    let mut images = listed(training, Half::Train, 0, root)?;
    let first = training.classes.len() as u32;
    images.extend(listed(test, Half::Test, first, root)?);
    let text = listing_text(&images).map_err(DataError::disk("write", path))?;
    Ok(durable::write(path, &text)?)
}

/// Returns the rows of one half, whose first class has this number.
fn listed(
    part: &Part,
    split: Half,
    first: u32,
    root: &Path,
) -> Result<Vec<ListedImage>, DataError> {
    let images = part.images.iter();
    images
        .map(|image| {
            let class = &part.classes[image.class as usize];
            listed_image(image, class, split, first, root)
        })
        .collect()
}

fn listed_image(
    image: &Image,
    class: &Class,
    split: Half,
    first: u32,
    root: &Path,
) -> Result<ListedImage, DataError> {
    let file = image.path.strip_prefix(root).unwrap_or(&image.path);
    let path = file
        .to_str()
        .ok_or_else(|| DataError::unreadable(file, "its name is not valid UTF-8; rename it"))?;
    let of_test = |flag: bool| (split == Half::Test).then_some(flag);
    let [x_1, y_1, x_2, y_2] = match image.bounding_box {
        Some(sides) => sides.map(Some),
        None => [None; 4],
    };
    Ok(ListedImage {
        path: path.to_owned(),
        label: first + image.class,
        class_name: class.name.clone(),
        split,
        is_query: of_test(image.role.is_query()),
        is_gallery: of_test(image.role.is_reference()),
        category: class.category.clone(),
        x_1,
        y_1,
        x_2,
        y_2,
        camera: image.camera.clone(),
        wider: class.wider.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    /// A part of some classes, whose names and files are made of letters that are special in tables.
    fn random_part(draws: &mut Draws, root: &Path, half: &str) -> Part {
        const LETTERS: [&str; 12] = [
            "nan", "NaN", " ", "\"", ",", "\n", "\r\n", ";", "\t", "é", "a", "\\",
        ];
        let mut text = |suffix: &str| {
            let mut letters: Vec<usize> = (0..LETTERS.len()).collect();
            draws.choose(&mut letters, 3);
            let letters: String = letters[..3].iter().map(|&letter| LETTERS[letter]).collect();
            letters + suffix
        };
        let mut rows = Vec::new();
        for key in 0..5_u32 {
            let class = Class {
                name: text(if key == 0 { "" } else { half }),
                category: (key % 2 == 0).then(|| text("")),
                wider: match key {
                    0 if half == "test" => vec![text("x"), text("y")],
                    2 if half == "test" => vec![text("x")],
                    _ => Vec::new(),
                },
            };
            for image in 0..3_u32 {
                rows.push(Row {
                    key,
                    class: class.clone(),
                    path: root
                        .join(text(&format!("{key}")).replace('/', ""))
                        .join(format!(" {image}.jpg")),
                    role: match (half, image) {
                        ("train", _) | (_, 0) => Role::Both,
                        (_, 1) => Role::Query,
                        _ => Role::Gallery,
                    },
                    bounding_box: (image == 1).then_some([key, image, 9, u32::MAX]),
                    camera: (half == "test" && image < 2).then(|| text("")),
                });
            }
        }
        part(rows)
    }

    #[test]
    fn a_listing_is_read_back_exactly_whatever_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for seed in 0..200 {
            let mut draws = Draws::new(seed, Purpose::Labels, 0, 0);
            let elsewhere = Path::new("/somewhere else/");
            let listing = Listing {
                training: random_part(&mut draws, root, "train"),
                test: random_part(&mut draws, elsewhere, "test"),
            };
            let table = root.join("listing.csv");
            write(&listing, root, &table).unwrap();
            assert_eq!(read(&table).unwrap(), listing, "seed {seed}");
        }
    }
}
