//! A list of the classes to train on and to test on, instead of the split of the files: `class,split` in each line, with
//! `train` or `test`.
//!
//! What follows the last comma, tab or blank of a line is the half, so that names may have commas. Classes have their own
//! names, or those with their super-class, as in `bicycle/1`. Classes that are not in the list are left out. A first line
//! that ends with `split` is a heading.

use std::{collections::BTreeMap, path::Path};

use schema::Half;

use super::{
    DataError,
    listing::{Class, Listing},
    readers::text,
};

/// Returns the images of a listing in the halves of a list of classes.
///
/// # Errors
/// If the list cannot be read, a line makes no sense, or it does not fit the classes.
pub(super) fn divided(listing: Listing, list: &Path) -> Result<Listing, DataError> {
    let lines = text::required(list, "a list of classes to train on and to test on")?;
    let mut halves: BTreeMap<String, Half> = BTreeMap::new();
    let known = names(&listing);
    for (place, line) in lines.iter().enumerate() {
        let separator = |c: char| c == ',' || c.is_whitespace();
        let parts = line.text.rsplit_once(separator);
        let (name, half) = parts.ok_or_else(|| line.wrong(EXPECTED))?;
        let name = name.trim_end_matches(separator).trim_matches('"');
        let half = match half.to_lowercase().as_str() {
            "train" => Half::Train,
            "test" => Half::Test,
            "split" if place == 0 => continue,
            other => {
                let why = format!("`{other}` is neither `train` nor `test`; {EXPECTED}");
                return Err(line.wrong(why));
            }
        };
        let class = known.get(name).ok_or_else(|| {
            line.wrong(format!("no class is called `{name}`; {}", some(&listing)))
        })?;
        if halves.insert(class.clone(), half).is_some() {
            return Err(line.wrong(format!("the class `{name}` is listed twice")));
        }
    }
    Ok(listing.divided(|class| halves.get(&class.name).copied()))
}

const EXPECTED: &str = "expected a class and its half, as in `sparrow,train`";

/// Returns the name of each class by all its names.
fn names(listing: &Listing) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for class in classes(listing) {
        names.insert(class.full_name(), class.name.clone());
        names.insert(class.name.clone(), class.name.clone());
    }
    names
}

fn classes(listing: &Listing) -> impl Iterator<Item = &Class> {
    let halves = listing.halves().into_iter();
    halves.flat_map(|(_, part)| &part.classes)
}

/// Returns examples of names.
fn some(listing: &Listing) -> String {
    let names: Vec<String> = classes(listing)
        .take(3)
        .map(|class| format!("`{}`", class.name))
        .collect();
    format!("the classes are {}, ..", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::listing::{Image, Part, Role};

    /// A half with two images of each class.
    fn part(classes: &[&str]) -> Part {
        let class = |name: &&str| Class {
            name: (*name).to_owned(),
            category: Some("bird".to_owned()),
            wider: Vec::new(),
        };
        let image = |place: usize| Image {
            path: format!("/{}/{place}.jpg", classes[place / 2]).into(),
            class: place as u32 / 2,
            role: Role::Both,
            bounding_box: None,
            camera: None,
        };
        Part {
            classes: classes.iter().map(class).collect(),
            images: (0..2 * classes.len()).map(image).collect(),
        }
    }

    fn read(text: &str) -> Result<Listing, String> {
        let folder = crate::testing::folder(&[("split.csv", text)]);
        let listing = Listing {
            training: part(&["a", "b, c"]),
            test: part(&["d", "e"]),
        };
        divided(listing, &folder.path().join("split.csv")).map_err(|error| error.to_string())
    }

    #[test]
    fn classes_are_divided_as_the_list_says_and_others_are_left_out() {
        for text in [
            "class,split\nd,train\nbird/e,TEST\n\"b, c\",test\n",
            "d train\r\ne\ttest\r\nb, c test\r\n",
        ] {
            let listing = read(text).unwrap();
            let names = |part: &Part| -> Vec<String> {
                part.classes
                    .iter()
                    .map(|class| class.name.clone())
                    .collect()
            };
            assert_eq!(names(&listing.training), ["d"]);
            assert_eq!(names(&listing.test), ["b, c", "e"]);
            assert_eq!(listing.check(), Ok(()));
            let of_test: Vec<(u32, &Path)> = listing
                .test
                .images
                .iter()
                .map(|image| (image.class, image.path.parent().unwrap()))
                .collect();
            let [b, e] = ["/b, c", "/e"].map(Path::new);
            assert_eq!(of_test, [(0, b), (0, b), (1, e), (1, e)]);
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        let says = |text: &str, what: &str| {
            let message = read(text).unwrap_err();
            assert!(message.contains(what), "{message}");
        };
        says(
            "a,train\nx,test\n",
            "line 2: no class is called `x`; the classes are `a`, `b, c`, `d`",
        );
        says(
            "a,train\nd,dev\n",
            "line 2: `dev` is neither `train` nor `test`",
        );
        says("a\n", "line 1: expected a class and its half");
        says(
            "a,train\nbird/a,test\n",
            "line 2: the class `bird/a` is listed twice",
        );
        says("a,train\nb,split\n", "line 2: `split` is neither");
    }
}
