//! Cars-196: 16,185 photographs of 196 models of cars.
//! Krause, Stark, Deng & Fei-Fei, "3D Object Representations for Fine-Grained Categorization", 2013.
//!
//! The first 98 classes are trained on, the last 98 tested on. The devkit's own halves split the images of
//! every class, for classification: they are merged first. Annotations have the corners of a box in each image,
//! counted from 1, and both inside of it.

use std::path::{Path, PathBuf};

use super::{
    super::mat::{self, Array},
    DataError, Layout, Listing, Row, folders, halves,
};

/// The annotations of all images in one folder.
const ANNOTATIONS: &str = "cars_annos.mat";

pub(super) const LAYOUTS: [Layout; 3] = [
    Layout {
        name: "`car_ims` with `cars_annos.mat`",
        list: together,
    },
    Layout {
        name: "the devkit, with `cars_train` and `cars_test`",
        list: devkit,
    },
    Layout {
        name: "the same class folders below `train` and `test`",
        list: folders::merged,
    },
];

/// The annotations of the images in `car_ims`, and where they are not, nothing: some copies have this file beside
/// the devkit.
fn together(root: &Path) -> Result<Option<Listing>, DataError> {
    let path = root.join(ANNOTATIONS);
    if !path.is_file() || !root.join("car_ims").is_dir() {
        return Ok(None);
    }
    let variables = mat::read(&path)?;
    let names = class_names(&path, &variables)?;
    let image = |row: &Fields| Ok(root.join(row.text("relative_im_path")?));
    Ok(Some(halves(rows(&path, &variables, &names, image)?)))
}

fn devkit(root: &Path) -> Result<Option<Listing>, DataError> {
    let kit = [root.to_owned(), root.join("devkit")]
        .into_iter()
        .find(|kit| kit.join("cars_train_annos.mat").is_file());
    let Some(kit) = kit else {
        return check_not_alone(root).map(|()| None);
    };
    let labelled = [&kit, root].map(|folder| folder.join("cars_test_annos_withlabels.mat"));
    let test = labelled.iter().find(|path| path.is_file()).ok_or_else(|| {
        DataError::missing(
            &labelled[0],
            "the classes of the second half; `cars_test_annos.mat` does not have them (the first half alone can be \
             added as a data set of your own, under another name)",
        )
    })?;
    let meta = kit.join("cars_meta.mat");
    let names = class_names(&meta, &mat::read(&meta)?)?;
    let mut all = Vec::new();
    for (path, folder) in [
        (&kit.join("cars_train_annos.mat"), "cars_train"),
        (test, "cars_test"),
    ] {
        let folder = image_folder(root, folder)?;
        all.extend(rows(path, &mat::read(path)?, &names, |row| {
            Ok(folder.join(row.text("fname")?))
        })?);
    }
    Ok(Some(halves(all)))
}

/// Checks that no images or annotations are there whose counterpart is not: the folders of images would be taken
/// for classes.
fn check_not_alone(root: &Path) -> Result<(), DataError> {
    if root.join("cars_train").is_dir() || root.join("cars_test").is_dir() {
        return Err(DataError::missing(
            &root.join("devkit").join("cars_train_annos.mat"),
            "the devkit, with the classes of the images in `cars_train`; those in `cars_test` need \
             `cars_test_annos_withlabels.mat`, too",
        ));
    }
    if root.join(ANNOTATIONS).is_file() {
        let what = format!("the images that `{ANNOTATIONS}` lists");
        return Err(DataError::missing(&root.join("car_ims"), what));
    }
    Ok(())
}

/// Returns the folder with this name. Some archives have it in another folder of the same name.
fn image_folder(root: &Path, name: &str) -> Result<PathBuf, DataError> {
    let candidates = [root.join(name).join(name), root.join(name)];
    candidates
        .iter()
        .find(|folder| folder.is_dir())
        .cloned()
        .ok_or_else(|| DataError::missing(&candidates[1], "one half of the images"))
}

fn class_names(path: &Path, variables: &[(String, Array)]) -> Result<Vec<String>, DataError> {
    let wrong = || DataError::unreadable(path, "it has no list `class_names`");
    match variables.iter().find(|(name, _)| name == "class_names") {
        Some((_, Array::Cells(names))) => names
            .iter()
            .map(|name| name.text().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        _ => Err(wrong()),
    }
}

/// One struct of `annotations`.
struct Fields<'a> {
    path: &'a Path,
    place: usize,
    names: &'a [String],
    values: &'a [Array],
}

impl<'a> Fields<'a> {
    fn text(&self, field: &str) -> Result<&'a str, DataError> {
        self.field(field)
            .and_then(Array::text)
            .ok_or_else(|| self.without(field))
    }

    /// Returns the class, counted from 1.
    fn class(&self) -> Result<usize, DataError> {
        let number = self
            .field("class")
            .and_then(Array::number)
            .filter(|class| *class >= 1.0 && class.fract() == 0.0);
        number
            .map(|class| class as usize)
            .ok_or_else(|| self.without("class"))
    }

    /// Returns the box, if there is one.
    fn bounding_box(&self) -> Option<[u32; 4]> {
        let corner = |field| {
            self.field(field)
                .and_then(Array::number)
                .filter(|pixel| *pixel >= 1.0)
        };
        let [left, top] = [corner("bbox_x1")?, corner("bbox_y1")?].map(|pixel| pixel as u32 - 1);
        Some([
            left,
            top,
            corner("bbox_x2")? as u32,
            corner("bbox_y2")? as u32,
        ])
    }

    fn field(&self, field: &str) -> Option<&'a Array> {
        self.names
            .iter()
            .position(|name| name == field)
            .and_then(|place| self.values.get(place))
    }

    fn without(&self, field: &str) -> DataError {
        DataError::unreadable(
            self.path,
            format!("annotation {} has no `{field}`", self.place + 1),
        )
    }
}

fn rows(
    path: &Path,
    variables: &[(String, Array)],
    class_names: &[String],
    image: impl Fn(&Fields) -> Result<PathBuf, DataError>,
) -> Result<Vec<Row<usize>>, DataError> {
    let Some((_, Array::Structs { fields, rows })) =
        variables.iter().find(|(name, _)| name == "annotations")
    else {
        return Err(DataError::unreadable(
            path,
            "it has no structs `annotations`",
        ));
    };
    let row = |(place, values): (usize, &Vec<Array>)| {
        let row = Fields {
            path,
            place,
            names: fields,
            values,
        };
        let class = row.class()?;
        let name = class_names.get(class - 1).ok_or_else(|| {
            DataError::unreadable(
                path,
                format!(
                    "annotation {} has class {class} of {}",
                    place + 1,
                    class_names.len()
                ),
            )
        })?;
        Ok(Row {
            bounding_box: row.bounding_box(),
            ..Row::new(class, name, image(&row)?)
        })
    };
    rows.iter().enumerate().map(row).collect()
}
