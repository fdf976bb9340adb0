//! A list of the classes to train on and to test on, instead of the split of the files: `class,split` in each line, with
//! `train` or `test`, or one of the [splits of ooDML](super::class_splits).
//!
//! What follows the last comma, tab or blank of a line is the half, so that names may have commas. Classes that are not in
//! the list are left out. A first line that ends with `split` is a heading.
//!
//! Classes have their own names, or those with their super-class, as in `bicycle/1`; with `-` for `/`, as where a class is a
//! folder; or, if the images of each class are of a product of their own, its number, as in `111085122871_0.JPG`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use schema::Half;

use super::{
    DataError, class_splits,
    listing::{Class, Listing, Part},
    readers::text,
};

/// A class with its half, as a list has it.
struct Assigned {
    name: String,
    half: Half,
    /// Where it is in the list, for messages.
    place: String,
}

/// Returns the images of a listing in the halves of a list of classes.
///
/// # Errors
/// If the list cannot be read, a line makes no sense, or it does not fit the classes.
pub(super) fn divided(listing: Listing, list: &Path) -> Result<Listing, DataError> {
    let (file, assigned) = match class_splits::read(list)? {
        Some(split) => {
            let place = format!("split {}", split.key);
            let assigned = |(name, half)| Assigned {
                name,
                half,
                place: place.clone(),
            };
            let all = split.classes.into_iter().map(assigned).collect();
            (split.file, all)
        }
        None => (list.to_owned(), by_lines(list)?),
    };
    let known = names(&listing);
    let mut halves: BTreeMap<String, Half> = BTreeMap::new();
    for Assigned { name, half, place } in assigned {
        let wrong = |why: String| DataError::unreadable(&file, format!("{place}: {why}"));
        let class = known
            .get(&name)
            .ok_or_else(|| wrong(format!("no class is called `{name}`; {}", some(&listing))))?;
        if halves.insert(class.clone(), half).is_some() {
            return Err(wrong(format!("the class `{name}` is listed twice")));
        }
    }
    Ok(listing.divided(|class| halves.get(&class.name).copied()))
}

/// Reads a list with a class in each line.
fn by_lines(list: &Path) -> Result<Vec<Assigned>, DataError> {
    let lines = text::required(list, "a list of classes to train on and to test on")?;
    let mut assigned = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let separator = |c: char| c == ',' || c.is_whitespace();
        let parts = line.text.rsplit_once(separator);
        let (name, half) = parts.ok_or_else(|| line.wrong(EXPECTED))?;
        let half = match half.to_lowercase().as_str() {
            "train" => Half::Train,
            "test" => Half::Test,
            "split" if index == 0 => continue,
            other => {
                let why = format!("`{other}` is neither `train` nor `test`; {EXPECTED}");
                return Err(line.wrong(why));
            }
        };
        let name = name.trim_end_matches(separator).trim_matches('"');
        assigned.push(Assigned {
            name: name.to_owned(),
            half,
            place: line.place(),
        });
    }
    Ok(assigned)
}

const EXPECTED: &str = "expected a class and its half, as in `sparrow,train`";

/// Returns the name of each class by all its names. Of two classes that share a name, the first keeps it.
fn names(listing: &Listing) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for class in classes(listing) {
        names.insert(class.full_name(), class.name.clone());
        names.insert(class.name.clone(), class.name.clone());
    }
    for (other, class) in folders(listing).chain(products(listing)) {
        names.entry(other).or_insert(class);
    }
    names
}

/// Returns the name that each class has as a folder, with its name.
fn folders(listing: &Listing) -> impl Iterator<Item = (String, String)> {
    classes(listing).map(|class| (class.name.replace('/', "-"), class.name.clone()))
}

/// Returns the number of the product that each class is, with its name. Nothing, unless each class has a number of its own.
fn products(listing: &Listing) -> BTreeMap<String, String> {
    let halves = listing.halves().into_iter();
    let numbers: Vec<Option<String>> = halves.flat_map(|(_, part)| numbers(part)).collect();
    let all: BTreeMap<String, String> = numbers
        .into_iter()
        .zip(classes(listing))
        .filter_map(|(number, class)| Some((number?, class.name.clone())))
        .collect();
    match all.len() == classes(listing).count() {
        true => all,
        false => BTreeMap::new(),
    }
}

/// Returns for each class the digits before the first `_` in the names of its images, if these are the same in all.
fn numbers(part: &Part) -> Vec<Option<String>> {
    let mut numbers: Vec<BTreeSet<Option<String>>> = vec![BTreeSet::new(); part.classes.len()];
    for image in &part.images {
        numbers[image.class as usize].insert(number(&image.path));
    }
    let only = |mut found: BTreeSet<_>| match found.len() {
        1 => found.pop_first().flatten(),
        _ => None,
    };
    numbers.into_iter().map(only).collect()
}

/// Returns the digits before the first `_` in the name of an image.
fn number(image: &Path) -> Option<String> {
    let (number, _) = image.file_stem()?.to_str()?.split_once('_')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.to_owned())
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
    fn a_class_is_also_known_as_a_folder_and_by_the_number_of_its_product() {
        let listing = |product: &str| {
            let mut listing = Listing {
                training: part(&["Ram C/V", "7"]),
                test: part(&["8"]),
            };
            let products = ["11108", "11108", product, "11109", "11110", "11110"];
            let training = listing.training.images.iter_mut();
            for (image, product) in training.chain(&mut listing.test.images).zip(products) {
                image.path = format!("/vans/{product}_0.JPG").into();
            }
            listing
        };
        let folder = |list| crate::testing::folder(&[("split.csv", list)]);
        let read = |listing, list| divided(listing, &folder(list).path().join("split.csv"));
        let found = read(listing("11109"), "Ram C-V,test\n11109,train\n8,test\n").unwrap();
        let names = |part: &Part| -> Vec<String> {
            part.classes
                .iter()
                .map(|class| class.name.clone())
                .collect()
        };
        assert_eq!(names(&found.training), ["7"]);
        assert_eq!(names(&found.test), ["Ram C/V", "8"]);
        // An image of another product: the numbers say nothing.
        let error = read(listing("11111"), "11108,train\n8,test\n").unwrap_err();
        assert!(
            error.to_string().contains("no class is called `11108`"),
            "{error}"
        );
    }

    #[test]
    fn a_split_of_oo_dml_divides_classes_and_is_named_in_messages() {
        // {1: {"train": ["a", "e"], "test": ["d"]}, 2: {"train": ["x"], "test": []}}
        let pickle = b"\x80\x03}(K\x01}(U\x05train](U\x01aU\x01eeU\x04test]U\x01dauK\x02}(U\x05train]U\x01xaU\x04test]uu.";
        let folder = crate::testing::folder(&[]);
        std::fs::write(folder.path().join("splits.pkl"), pickle).unwrap();
        let listing = || Listing {
            training: part(&["a", "b, c"]),
            test: part(&["d", "e"]),
        };
        let found = divided(listing(), &folder.path().join("splits.pkl:1")).unwrap();
        assert_eq!(
            (found.training.classes.len(), found.test.classes.len()),
            (2, 1)
        );
        let error = divided(listing(), &folder.path().join("splits.pkl:2")).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("splits.pkl`: split 2: no class is called `x`"),
            "{message}"
        );
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
