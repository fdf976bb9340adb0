//! A folder for each class, whose name is the name of the class.
//!
//! Below `train` and `test` they are the two halves. All together, here or in `images`, the first half of the
//! sorted classes is trained on and the others tested on. Classes may be in folders of super-classes. Images that
//! are in no such folder are left aside, unless it is unclear which folders are the classes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    super::walk::{ImageFile, walk},
    Class, DataError, Layout, Listing, Role, Row, folders_in, halves, part,
};

pub(super) const LAYOUTS: [Layout; 5] = [
    Layout {
        name: "class folders below `train` and `test`",
        list: |root| apart(root, &[Split::Train, Split::Test]),
    },
    Layout {
        name: "class folders below `train`, `val` and `test` (`val` is trained on: folds choose what is validated on)",
        list: |root| apart(root, &[Split::Train, Split::Validation, Split::Test]),
    },
    Layout {
        name: "class folders below `train` and `val`, which is tested on",
        list: |root| apart(root, &[Split::Train, Split::Validation]),
    },
    Layout {
        name: "class folders below `train`, `query` and `gallery`",
        list: |root| apart(root, &[Split::Train, Split::Query, Split::Gallery]),
    },
    Layout {
        name: "a folder for each class, by itself or in one for its super-class",
        list: together,
    },
];

type FolderRows = Vec<Row<String>>;

/// What the name of a folder says about the images below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Split {
    Train,
    Validation,
    Test,
    Query,
    Gallery,
}

impl Split {
    fn named(name: &str) -> Option<Split> {
        match name.to_lowercase().as_str() {
            "train" | "training" => Some(Split::Train),
            "val" | "valid" | "validation" => Some(Split::Validation),
            "test" | "testing" => Some(Split::Test),
            "query" | "queries" => Some(Split::Query),
            "gallery" => Some(Split::Gallery),
            _ => None,
        }
    }
}

/// The images of `train` and `test` as one, for data sets whose images were split for classification.
/// Nothing if the two have different classes.
pub(super) fn merged(root: &Path) -> Result<Option<Listing>, DataError> {
    let wanted = [Split::Train, Split::Test];
    let Some(mut splits) = splits(root, &wanted)? else {
        return Ok(None);
    };
    let [train, test] = wanted.map(|split| splits.remove(&split).unwrap_or_default());
    let classes = |rows: &FolderRows| {
        rows.iter()
            .map(|row| row.key.clone())
            .collect::<BTreeSet<_>>()
    };
    let same = classes(&train) == classes(&test);
    Ok(same.then(|| halves(train.into_iter().chain(test).collect())))
}

/// Reads the halves from folders that are exactly these splits.
fn apart(root: &Path, wanted: &[Split]) -> Result<Option<Listing>, DataError> {
    let Some(splits) = splits(root, wanted)? else {
        return Ok(None);
    };
    let (mut training, mut test) = (FolderRows::new(), FolderRows::new());
    for (split, mut rows) in splits {
        let role = match split {
            Split::Query => Role::Query,
            Split::Gallery => Role::Gallery,
            Split::Train | Split::Validation | Split::Test => Role::Both,
        };
        rows.iter_mut().for_each(|row| row.role = role);
        let trained_on =
            split == Split::Train || split == Split::Validation && wanted.contains(&Split::Test);
        let half = if trained_on { &mut training } else { &mut test };
        half.extend(rows);
    }
    Ok(Some(Listing {
        training: part(training),
        test: part(test),
    }))
}

/// Returns the images of each split, if there are folders for exactly these splits and all have class folders.
fn splits(root: &Path, wanted: &[Split]) -> Result<Option<BTreeMap<Split, FolderRows>>, DataError> {
    let mut folders: BTreeMap<Split, PathBuf> = BTreeMap::new();
    for (name, path) in folders_in(root)? {
        let Some(split) = Split::named(&name) else {
            continue;
        };
        if let Some(other) = folders.insert(split, path.clone()) {
            let other = other.file_name().unwrap_or_default().display().to_string();
            let why = format!("`{other}` beside it says the same; give one of them");
            return Err(DataError::unreadable(&path, why));
        }
    }
    if !folders.keys().eq(wanted) {
        return Ok(None);
    }
    let mut splits = BTreeMap::new();
    for (split, folder) in folders {
        let Some(classes) = classes(&folder)? else {
            return Ok(None);
        };
        splits.insert(split, classes.rows);
    }
    Ok(Some(splits))
}

fn together(root: &Path) -> Result<Option<Listing>, DataError> {
    let Some(classes) = classes(root)? else {
        return Ok(None);
    };
    let is_one = |rows: &FolderRows| rows.iter().all(|row| row.key == rows[0].key);
    if is_one(&classes.rows) {
        return Ok(None);
    }
    check_names(&classes)?;
    Ok(Some(halves(classes.rows)))
}

/// Checks that the outermost folders are not splits: their images or classes would be taken apart wrongly.
fn check_names(classes: &Classes) -> Result<(), DataError> {
    let splits: BTreeSet<Split> = classes
        .outermost
        .iter()
        .filter_map(|name| Split::named(name))
        .collect();
    if splits.len() < 2 {
        return Ok(());
    }
    let names: Vec<&str> = classes.outermost.iter().map(String::as_str).collect();
    let why = format!(
        "`{}` are no classes, and not the folders of a known layout: class folders are read below `train` and `test`, \
         below `train` and `val`, or below `train`, `query` and `gallery`",
        names.join("`, `")
    );
    Err(DataError::unreadable(&classes.root, why))
}

/// The images of class folders.
struct Classes {
    /// The folder in which the outermost folders are.
    root: PathBuf,
    /// The names of the folders of classes or of super-classes.
    outermost: Vec<String>,
    rows: FolderRows,
}

/// Returns the images in class folders below a folder; nothing if there are none.
fn classes(root: &Path) -> Result<Option<Classes>, DataError> {
    let mut images = walk(root)?.images;
    images.retain(|image| image.decodable);
    classes_of(root.to_owned(), 0, images)
}

/// The images below one folder.
#[derive(Default)]
struct Branch {
    /// Those in the folder itself.
    own: Vec<ImageFile>,
    /// Those in folders in it.
    inner: Vec<ImageFile>,
}

/// Returns the images in class folders below `root`, which is `depth` folders below that of the walk.
fn classes_of(
    root: PathBuf,
    depth: usize,
    images: Vec<ImageFile>,
) -> Result<Option<Classes>, DataError> {
    let mut branches = branches(images, depth);
    if let Some(name) = inner_root(&branches) {
        let images = branches.remove(&name).unwrap_or_default().inner;
        return classes_of(root.join(name), depth + 1, images);
    }
    let (own, inner) = branches.values().fold((0, 0), |(own, inner), branch| {
        (own + branch.own.len(), inner + branch.inner.len())
    });
    let outermost = branches.keys().cloned().collect();
    let rows = if branches.is_empty() {
        return Ok(None);
    } else if inner < own && branches.values().all(|branch| !branch.own.is_empty()) {
        let classes = branches.into_iter();
        classes
            .flat_map(|(name, branch)| named(name, branch.own))
            .collect()
    } else if own == 0 {
        super_classes(&root, depth, branches)?
    } else {
        return Err(unclear(&root, &branches));
    };
    Ok(Some(Classes {
        root,
        outermost,
        rows,
    }))
}

fn branches(images: Vec<ImageFile>, depth: usize) -> BTreeMap<String, Branch> {
    let mut branches: BTreeMap<String, Branch> = BTreeMap::new();
    for image in images {
        let Some(name) = image.folders.get(depth) else {
            continue;
        };
        let branch = branches.entry(name.clone()).or_default();
        if image.folders.len() == depth + 1 {
            branch.own.push(image);
        } else {
            branch.inner.push(image);
        }
    }
    branches
}

/// Returns the folder in which the classes are, if they are one level deeper: `images`, or the only folder.
fn inner_root(branches: &BTreeMap<String, Branch>) -> Option<String> {
    let is_root = |name: &str| branches.len() == 1 || name.eq_ignore_ascii_case("images");
    let mut roots = branches
        .iter()
        .filter(|(name, branch)| is_root(name) && !branch.inner.is_empty());
    roots.next().map(|(name, _)| name.clone())
}

fn named(class: String, images: Vec<ImageFile>) -> impl Iterator<Item = Row<String>> {
    images
        .into_iter()
        .map(move |image| Row::new(class.clone(), class.clone(), image.path))
}

/// Returns the images of classes that are in folders of super-classes.
fn super_classes(
    root: &Path,
    depth: usize,
    branches: BTreeMap<String, Branch>,
) -> Result<FolderRows, DataError> {
    let mut rows = FolderRows::new();
    for (category, branch) in branches {
        for image in branch.inner {
            if image.folders.len() != depth + 2 {
                return Err(too_deep(root, &image));
            }
            let name = format!("{category}/{}", image.folders[depth + 1]);
            let class = Class {
                name: name.clone(),
                category: Some(category.clone()),
                wider: Vec::new(),
            };
            rows.push(Row {
                class,
                ..Row::new(name, "", image.path)
            });
        }
    }
    Ok(rows)
}

fn too_deep(root: &Path, image: &ImageFile) -> DataError {
    let below = image.path.strip_prefix(root).unwrap_or(&image.path);
    let why = format!(
        "`{}` is more than two folders deep; give a folder with a folder for each class, or with folders of \
         super-classes that have one for each class",
        below.display()
    );
    DataError::unreadable(root, why)
}

/// Returns the error for images that lie at different depths.
fn unclear(root: &Path, branches: &BTreeMap<String, Branch>) -> DataError {
    let first = |images: fn(&Branch) -> &Vec<ImageFile>| {
        let image = branches.values().find_map(|branch| images(branch).first());
        image.map_or_else(String::new, |image| {
            let below = image.path.strip_prefix(root).unwrap_or(&image.path);
            below.display().to_string()
        })
    };
    let (own, inner) = (first(|branch| &branch.own), first(|branch| &branch.inner));
    let why = format!(
        "its images are not all equally deep, as `{own}` and `{inner}`, and it is unclear which folders are the \
         classes; give a folder with a folder for each class, or a table `manifest.csv` with `path,label`"
    );
    DataError::unreadable(root, why)
}
