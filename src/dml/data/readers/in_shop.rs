//! In-Shop Clothes Retrieval, a part of DeepFashion: 52,712 photographs of 7,982 articles.
//! Liu, Luo, Qiu, Wang & Tang, "DeepFashion: Powering Robust Clothes Recognition and Retrieval", 2016.
//!
//! `list_eval_partition.txt` says which images are trained on, which are queries and which are the gallery.
//! Queries search in the gallery alone. Articles with a single training image stay. `list_bbox_inshop.txt` has the left
//! upper and the right lower corner of a box in each image, the latter outside of it, for the images of 256 pixels: with
//! the large ones there are no boxes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{Class, DataError, Layout, Listing, Role, Row, part, text};

pub(super) const LAYOUTS: [Layout; 1] = [Layout {
    name: "`list_eval_partition.txt` with the folder `img`",
    list: official,
}];

fn official(root: &Path) -> Result<Option<Listing>, DataError> {
    let Some(list) = list_of(root, "list_eval_partition.txt") else {
        return Ok(None);
    };
    let lines = text::required(&list, "the list of all images")?;
    let lines = counted(&list, &lines)?;
    let images = image_folder(root)?;
    let boxes = boxes(root, &images)?;
    let (mut training, mut test) = (Vec::new(), Vec::new());
    for line in lines {
        let [path, item, status] = line.words("a path, an article and a status")?;
        let file = path
            .strip_prefix("img/")
            .ok_or_else(|| line.wrong(format!("`{path}` is not below `img`")))?;
        let (half, role) = match status {
            "train" => (&mut training, Role::Both),
            "query" => (&mut test, Role::Query),
            "gallery" => (&mut test, Role::Gallery),
            other => {
                return Err(line.wrong(format!(
                    "`{other}` is neither `train`, `query` nor `gallery`"
                )));
            }
        };
        let class = Class {
            name: item.to_owned(),
            category: category(file),
            wider: Vec::new(),
        };
        let bounding_box = boxes.get(path).copied();
        half.push(Row {
            class,
            role,
            bounding_box,
            ..Row::new(item.to_owned(), "", images.join(file))
        });
    }
    Ok(Some(Listing {
        training: part(training),
        test: part(test),
    }))
}

/// Returns a list of the download, from one of the folders in which it is passed on.
fn list_of(root: &Path, name: &str) -> Option<PathBuf> {
    ["", "Eval", "Anno"]
        .map(|folder| root.join(folder).join(name))
        .into_iter()
        .find(|list| list.is_file())
}

/// Returns the lines of a list after its first two: the number of lines and the names of columns.
fn counted<'a>(
    list: &Path,
    lines: &'a [text::TextLine],
) -> Result<&'a [text::TextLine], DataError> {
    let [count, _, lines @ ..] = lines else {
        return Err(DataError::unreadable(list, "it has no header"));
    };
    if count.number(&count.text)? as usize != lines.len() {
        return Err(count.wrong(format!(
            "it announces {} images, but lists {}",
            count.text,
            lines.len()
        )));
    }
    Ok(lines)
}

/// Returns the box of each image, by its path in the lists.
fn boxes(root: &Path, images: &Path) -> Result<BTreeMap<String, [u32; 4]>, DataError> {
    let list = list_of(root, "list_bbox_inshop.txt").filter(|_| images.ends_with("img"));
    let Some(list) = list else {
        return Ok(BTreeMap::new());
    };
    let lines = text::required(&list, "the box of each image")?;
    let of_image = |line: &text::TextLine| {
        let [path, _clothes, _pose, corners @ ..] =
            line.words::<7>("an image, two kinds and the corners of its box")?;
        let mut pixels = [0; 4];
        for (pixel, corner) in pixels.iter_mut().zip(corners) {
            *pixel = line.pixels(corner)?;
        }
        Ok((path.to_owned(), pixels))
    };
    counted(&list, &lines)?.iter().map(of_image).collect()
}

/// Returns the folder for paths that start with `img/`: images of 256 pixels, or else the large ones.
fn image_folder(root: &Path) -> Result<PathBuf, DataError> {
    let candidates =
        ["img", "Img/img", "img_highres", "Img/img_highres"].map(|folder| root.join(folder));
    candidates
        .iter()
        .find(|folder| folder.is_dir())
        .cloned()
        .ok_or_else(|| DataError::missing(&candidates[0], "the images"))
}

/// `WOMEN/Dresses` of `WOMEN/Dresses/id_00000002/02_1_front.jpg`.
fn category(file: &str) -> Option<String> {
    let mut parts = file.splitn(3, '/');
    let (gender, kind, _) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{gender}/{kind}"))
}
