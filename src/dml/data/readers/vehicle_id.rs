//! PKU VehicleID: photographs of vehicles by surveillance cameras. Liu et al., "Deep Relative Distance Learning", 2016.
//!
//! Each line of a list has the number of an image, which is also the name of its file, and that of a vehicle. The three
//! test lists are data sets of their own, with the same images to train on.

use std::path::Path;

use super::{DataError, Layout, Listing, Part, Row, part, text};

macro_rules! layouts {
    ($($layouts:ident: $list:literal,)*) => {
        $(pub(super) const $layouts: [Layout; 1] = [Layout {
            name: concat!("`train_test_split` with `train_list.txt` and `", $list, "`, and the folder `image`"),
            list: |root| listing(root, $list),
        }];)*
    };
}

layouts! {
    SMALL: "test_list_800.txt",
    MEDIUM: "test_list_1600.txt",
    LARGE: "test_list_2400.txt",
}

/// The digits in the name of an image file.
const DIGITS: usize = 7;

fn listing(root: &Path, test: &str) -> Result<Option<Listing>, DataError> {
    let lists = root.join("train_test_split");
    let training = lists.join("train_list.txt");
    if !training.is_file() {
        return Ok(None);
    }
    let images = root.join("image");
    if !images.is_dir() {
        return Err(DataError::missing(
            &images,
            "the folder of images that the lists name",
        ));
    }
    Ok(Some(Listing {
        training: half(&training, &images)?,
        test: half(&lists.join(test), &images)?,
    }))
}

fn half(list: &Path, images: &Path) -> Result<Part, DataError> {
    let lines = text::required(list, "the list of one half")?;
    let row = |line: &text::TextLine| {
        let [image, vehicle] = line.words("the number of an image and of a vehicle")?;
        let (image, number) = (line.number(image)?, line.number(vehicle)?);
        let path = images.join(format!("{image:0DIGITS$}.jpg"));
        Ok(Row::new(number, vehicle, path))
    };
    Ok(part(
        lines.iter().map(row).collect::<Result<_, DataError>>()?,
    ))
}
