//! Stanford Online Products: 120,053 photographs of 22,634 things that were for sale, of 12 kinds.
//! Song, Xiang, Jegelka & Savarese, "Deep Metric Learning via Lifted Structured Feature Embedding", 2016.
//!
//! `Ebay_train.txt` lists the classes 1 to 11,318, `Ebay_test.txt` the 11,316 others.

use std::path::Path;

use super::{Class, DataError, Layout, Listing, Part, Row, part, text};

pub(super) const LAYOUTS: [Layout; 1] = [Layout {
    name: "`Ebay_train.txt` and `Ebay_test.txt`, with a folder for each kind",
    list: official,
}];

const HEADER: &str = "image_id class_id super_class_id path";

fn official(root: &Path) -> Result<Option<Listing>, DataError> {
    let kept_apart = root.join("Info_Files");
    let lists = if kept_apart.is_dir() {
        &kept_apart
    } else {
        root
    };
    if !lists.join("Ebay_train.txt").is_file() {
        return Ok(None);
    }
    let images = root.join("images");
    let images = if images.is_dir() { &images } else { root };
    let half = |file| half(&lists.join(file), images);
    Ok(Some(Listing {
        training: half("Ebay_train.txt")?,
        test: half("Ebay_test.txt")?,
    }))
}

fn half(list: &Path, images: &Path) -> Result<Part, DataError> {
    let lines = text::required(list, "the list of one half")?;
    let Some((header, lines)) = lines.split_first() else {
        return Err(DataError::unreadable(list, "it is empty"));
    };
    if header.text != HEADER {
        return Err(header.wrong(format!("expected `{HEADER}`")));
    }
    let row = |line: &text::TextLine| {
        let [_, class, _, path] =
            line.words("an image, its class, its super-class and its path")?;
        let kind = path.split_once('/').map_or(path, |(folder, _)| {
            folder.strip_suffix("_final").unwrap_or(folder)
        });
        let named = Class {
            name: class.to_owned(),
            category: Some(kind.to_owned()),
            wider: Vec::new(),
        };
        Ok(Row {
            class: named,
            ..Row::new(line.number(class)?, "", images.join(path))
        })
    };
    Ok(part(
        lines.iter().map(row).collect::<Result<_, DataError>>()?,
    ))
}
