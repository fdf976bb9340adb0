//! Omniglot (Lake, Salakhutdinov & Tenenbaum, 2015), as its authors' two archives unpack.
//!
//! `images_background/<alphabet>/<character>/<drawing>.png` is trained on, `images_evaluation/...` is
//! tested on. A class is a character, with its alphabet as super-class. Classes and drawings are in the
//! order of their names.

use std::path::Path;

use super::{Class, DataError, Layout, Listing, Part, Row, folders_in, inside, is_image, part};

pub(super) const LAYOUTS: [Layout; 1] = [Layout {
    name: "`images_background` and `images_evaluation`",
    list: official,
}];

/// Drawings of each character.
const DRAWINGS: usize = 20;

fn official(root: &Path) -> Result<Option<Listing>, DataError> {
    let [training, test] = ["images_background", "images_evaluation"].map(|half| root.join(half));
    let missing = |half: &Path| {
        let name = half.file_name().unwrap_or_default().display();
        DataError::missing(
            half,
            format!("one half of Omniglot; give `{name}.zip` as well"),
        )
    };
    match (training.is_dir(), test.is_dir()) {
        (false, false) => Ok(None),
        (false, true) => Err(missing(&training)),
        (true, false) => Err(missing(&test)),
        (true, true) => Ok(Some(Listing {
            training: half(&training)?,
            test: half(&test)?,
        })),
    }
}

fn half(folder: &Path) -> Result<Part, DataError> {
    let mut rows = Vec::new();
    for (alphabet, path) in folders_in(folder)? {
        for (character, path) in folders_in(&path)? {
            let class = Class {
                name: format!("{alphabet}/{character}"),
                category: Some(alphabet.clone()),
                wider: Vec::new(),
            };
            rows.extend(drawings(&class, &path)?);
        }
    }
    Ok(part(rows))
}

fn drawings(class: &Class, folder: &Path) -> Result<Vec<Row<String>>, DataError> {
    let mut rows = Vec::with_capacity(DRAWINGS);
    for (_, path) in inside(folder)?
        .into_iter()
        .filter(|(name, _)| is_image(name))
    {
        rows.push(Row {
            class: class.clone(),
            ..Row::new(class.name.clone(), "", path)
        });
    }
    if rows.len() == DRAWINGS {
        return Ok(rows);
    }
    let found = rows.len();
    let why = format!(
        "there are {found} drawings of `{}`, not {DRAWINGS}",
        class.name
    );
    Err(DataError::unreadable(folder, why))
}
