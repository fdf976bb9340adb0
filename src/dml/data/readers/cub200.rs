//! CUB-200-2011: 11,788 photographs of 200 kinds of birds.
//! Wah, Branson, Welinder, Perona & Belongie, "The Caltech-UCSD Birds-200-2011 Dataset", 2011.
//!
//! The first 100 classes are trained on, the last 100 tested on. `train_test_split.txt` splits the images of
//! every class, for classification, and is never read. `bounding_boxes.txt` has left, top, width and height of a box
//! in each image, counted from 0.

use std::{collections::BTreeMap, path::Path};

use super::{DataError, Layout, Listing, Row, halves, is_clutter, text};

pub(super) const LAYOUTS: [Layout; 1] = [Layout {
    name: "the official folder, with `images.txt`, `image_class_labels.txt` and `images`",
    list: official,
}];

fn official(root: &Path) -> Result<Option<Listing>, DataError> {
    let Some(images) = text::lines(&root.join("images.txt"))? else {
        return Ok(None);
    };
    let labels = text::required(
        &root.join("image_class_labels.txt"),
        "the class of each image",
    )?;
    let mut classes = BTreeMap::new();
    for line in &labels {
        let [image, class] = line.words("the number of an image and of its class")?;
        classes.insert(line.number(image)?, line.number(class)?);
    }
    let boxes = boxes(&root.join("bounding_boxes.txt"))?;
    let mut rows = Vec::with_capacity(images.len());
    for line in &images {
        let (image, file) = line
            .text
            .split_once(' ')
            .ok_or_else(|| line.wrong("there is no path"))?;
        let number = line.number(image)?;
        let class = *classes.get(&number).ok_or_else(|| {
            line.wrong(format!("image {image} is not in `image_class_labels.txt`"))
        })?;
        let (folder, name) = file
            .trim()
            .split_once('/')
            .ok_or_else(|| line.wrong("the path has no folder"))?;
        if !is_clutter(name) {
            let bounding_box = boxes.get(&number).copied();
            rows.push(Row {
                bounding_box,
                ..Row::new(class, folder, root.join("images").join(folder).join(name))
            });
        }
    }
    Ok(Some(halves(rows)))
}

/// The box of each image; none if there is no list of them.
fn boxes(list: &Path) -> Result<BTreeMap<u32, [u32; 4]>, DataError> {
    let of_image = |line: &text::TextLine| {
        let [image, left, top, width, height] = line.words("an image's number and its box")?;
        let [left, top] = [line.pixels(left)?, line.pixels(top)?];
        Ok((
            line.number(image)?,
            [
                left,
                top,
                left + line.pixels(width)?,
                top + line.pixels(height)?,
            ],
        ))
    };
    text::lines(list)?.iter().flatten().map(of_image).collect()
}
