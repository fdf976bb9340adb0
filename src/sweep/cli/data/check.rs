//! `sweep data check`: decodes every image of a data set once and reports sizes, duplicates and damage.

use std::fmt::Write;

use clap::Args;
use schema::{InspectWork, Inspected, InspectedHalf, InspectedImage};

use super::{
    super::{Exit, counted, counted_classes, progress::Bar, show},
    Added, broken, registered,
};

/// Decode every image and report problems
///
/// Prints counts, sizes and formats, and lists unreadable and duplicate images. Exits with 1 if an image is unreadable.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sweep data check cub200")]
pub(in crate::cli) struct CheckData {
    #[command(flatten)]
    added: Added,
}

/// Groups of equal images that are printed.
const GROUPS: usize = 20;
/// Files of a group that are printed.
const FILES: usize = 4;

impl CheckData {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let (dataset, source) = self.added.find()?;
        let bar = Bar::images(&format!("checking {}", dataset.title()));
        let title = format!("{} in `{}`", dataset.title(), source.display());
        let left_out = registered(&source)
            .ok()
            .flatten()
            .and_then(|found| broken(&found));
        let left_out = left_out.map(|line| format!("{line}\n"));
        let found = self.added.attempt(InspectWork { dataset, source }, &bar)?;
        show(&format!(
            "{title}\n{}{}",
            described(&found),
            left_out.unwrap_or_default()
        ))?;
        verdict(&found)
    }
}

fn verdict(found: &Inspected) -> Result<(), Exit> {
    match found.corrupt.len() {
        0 => Ok(()),
        corrupt => {
            let of: u64 = found.halves.iter().map(|half| half.images).sum();
            Err(Exit::Mistake(format!(
                "{corrupt} of {of} images cannot be read; download or unpack them again, or leave them out with \
                 `sweep data add .. --skip-broken`"
            )))
        }
    }
}

fn described(found: &Inspected) -> String {
    let mut text: String = found.halves.iter().map(half).collect();
    let formats: Vec<String> = found
        .formats
        .iter()
        .map(|(format, count)| format!("{count} {format}"))
        .collect();
    let whole: u64 = found.formats.values().sum();
    // Writing to a string cannot fail.
    if whole > 0 {
        let _ = writeln!(
            text,
            "  files   {}; {} in color, {} gray",
            formats.join(", "),
            whole - found.grey,
            found.grey
        );
    }
    for (name, sides) in [("width ", found.widths), ("height", found.heights)] {
        if let Some([least, median, greatest]) = sides {
            let range = range([least, median, greatest], " pixels");
            let _ = writeln!(text, "  {name}  {range}");
        }
    }
    if found.boxes > 0 {
        let _ = writeln!(
            text,
            "  boxes   {} with a box to cut out",
            counted(found.boxes as usize, "image")
        );
    }
    for line in &found.left_aside {
        let _ = writeln!(text, "left aside: {line}");
    }
    text + &transparent(found)
        + &turned(found)
        + &boxes(found)
        + &duplicates(found)
        + &corrupt(found)
}

fn half(half: &InspectedHalf) -> String {
    let apart = half
        .queries_and_gallery
        .map(|[queries, gallery]| format!("; {queries} queries, {gallery} in the gallery"));
    format!(
        "  {:<6}  {} of {}, {}{}\n",
        half.half.word(),
        counted(half.images as usize, "image"),
        counted_classes(half.classes),
        range(half.per_class, " of each"),
        apart.unwrap_or_default()
    )
}

/// `8 to 30 pixels, median 20`, or `20 pixels` if that is all.
fn range([least, median, greatest]: [u64; 3], of: &str) -> String {
    if least == greatest {
        format!("{least}{of}")
    } else {
        format!("{least} to {greatest}{of}, median {median}")
    }
}

fn transparent(found: &Inspected) -> String {
    if found.transparent == 0 {
        return String::new();
    }
    format!(
        "transparent pixels: {}; the colors hidden there are used, unless `background = \"white\"` is set in [data]\n",
        counted(found.transparent as usize, "image")
    )
}

fn turned(found: &Inspected) -> String {
    if found.turned == 0 {
        return String::new();
    }
    format!(
        "turned by EXIF: {}; they are used as they are stored, as torchvision does by default\n",
        counted(found.turned as usize, "image")
    )
}

/// The boxes that are not inside of their images. Those outside are all named, since they must be corrected.
fn boxes(found: &Inspected) -> String {
    let mut text = String::new();
    if let Some(first) = found.reaching_out.first() {
        let images = counted(found.reaching_out.len(), "image");
        let _ = writeln!(
            text,
            "boxes that reach out of their image and are cut off: {images}, the first is {}",
            first.path
        );
    }
    if !found.outside.is_empty() {
        let images = counted(found.outside.len(), "image");
        let _ = writeln!(
            text,
            "boxes outside of their image, which `bounding_boxes = true` refuses: {images}"
        );
    }
    for image in &found.outside {
        let _ = writeln!(text, "  {} {}", image.half.word(), image.path);
    }
    text
}

fn corrupt(found: &Inspected) -> String {
    if found.corrupt.is_empty() {
        return "cannot be read: none\n".to_owned();
    }
    let lines = found.corrupt.iter().map(|line| format!("  {line}\n"));
    format!(
        "cannot be read: {}\n{}",
        counted(found.corrupt.len(), "image"),
        lines.collect::<String>()
    )
}

/// Where identical images occur, from harmless to serious.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum DuplicateScope {
    OneClass,
    SeveralClasses,
    BothHalves,
}

impl DuplicateScope {
    fn of(group: &[InspectedImage]) -> DuplicateScope {
        if group.iter().any(|image| image.half != group[0].half) {
            return DuplicateScope::BothHalves;
        }
        if group.iter().any(|image| image.class != group[0].class) {
            DuplicateScope::SeveralClasses
        } else {
            DuplicateScope::OneClass
        }
    }

    fn words(self) -> &'static str {
        match self {
            DuplicateScope::OneClass => "of one class",
            DuplicateScope::SeveralClasses => "OF SEVERAL CLASSES",
            DuplicateScope::BothHalves => "TO TRAIN ON AND TO TEST ON",
        }
    }
}

fn duplicates(found: &Inspected) -> String {
    if found.duplicates.is_empty() {
        return "exactly the same: none\n".to_owned();
    }
    let mut groups: Vec<(DuplicateScope, &Vec<InspectedImage>)> = found
        .duplicates
        .iter()
        .map(|group| (DuplicateScope::of(group), group))
        .collect();
    groups.sort_by_key(|(kind, _)| std::cmp::Reverse(*kind));
    let of = |wanted: DuplicateScope| groups.iter().filter(|(kind, _)| *kind == wanted).count();
    let counts = [
        DuplicateScope::BothHalves,
        DuplicateScope::SeveralClasses,
        DuplicateScope::OneClass,
    ]
    .map(|kind| (of(kind), kind));
    let counts = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, kind)| format!("{count} {}", kind.words()));
    let mut text = format!(
        "exactly the same: {} of images ({})\n",
        counted(groups.len(), "group"),
        counts.collect::<Vec<_>>().join(", ")
    );
    for (kind, group) in groups.iter().take(GROUPS) {
        let _ = writeln!(text, "  {}: {}", kind.words(), files(group));
    }
    if groups.len() > GROUPS {
        let _ = writeln!(text, "  and {} more", groups.len() - GROUPS);
    }
    text
}

/// The files of a group, the last one always among them.
fn files(group: &[InspectedImage]) -> String {
    let mut files: Vec<String> = group
        .iter()
        .map(|image| format!("{} {}", image.half.word(), image.path))
        .collect();
    if files.len() > FILES {
        let left_out = files.len() - FILES;
        files.splice(FILES - 1..group.len() - 1, [format!("{left_out} others")]);
    }
    files.join(", ")
}

#[cfg(test)]
mod tests {
    use schema::Half;

    use super::*;

    fn image(half: Half, class: &str, path: &str) -> InspectedImage {
        InspectedImage {
            half,
            class: class.to_owned(),
            path: path.to_owned(),
        }
    }

    #[test]
    fn equal_images_across_halves_come_first_and_no_line_is_endless() {
        let half = |half| InspectedHalf {
            half,
            classes: 2,
            images: 30,
            per_class: [1, 4, 9],
            queries_and_gallery: None,
        };
        let mut found = Inspected {
            halves: vec![half(Half::Train), half(Half::Test)],
            formats: [("JPEG".to_owned(), 60)].into(),
            grey: 2,
            widths: Some([8, 20, 30]),
            heights: Some([9, 9, 9]),
            boxes: 0,
            transparent: 0,
            turned: 0,
            reaching_out: Vec::new(),
            outside: Vec::new(),
            corrupt: Vec::new(),
            duplicates: vec![vec![
                image(Half::Train, "a", "1"),
                image(Half::Train, "b", "2"),
            ]],
            left_aside: Vec::new(),
        };
        found.duplicates.push(vec![
            image(Half::Train, "a", "3"),
            image(Half::Test, "c", "4"),
        ]);
        found.duplicates.extend(
            (0..25).map(|_| vec![image(Half::Test, "c", "5"), image(Half::Test, "c", "6")]),
        );
        let text = described(&found);
        assert!(
            text.starts_with("  train   30 images of 2 classes, 1 to 9 of each, median 4\n"),
            "{text}"
        );
        assert!(
            text.contains("  width   8 to 30 pixels, median 20\n  height  9 pixels\n"),
            "{text}"
        );
        assert!(
            text.contains("27 groups of images (1 TO TRAIN ON AND TO TEST ON, 1 OF SEVERAL"),
            "{text}"
        );
        let place = |what: &str| {
            text.find(what)
                .unwrap_or_else(|| panic!("{what} in {text}"))
        };
        assert!(place("train 3, test 4") < place("train 1, train 2"));
        assert!(place("train 1, train 2") < place("of one class: test 5, test 6"));
        assert!(
            text.contains("and 7 more") && text.ends_with("cannot be read: none\n"),
            "{text}"
        );
        assert!(verdict(&found).is_ok());
        let many: Vec<_> = (0..9)
            .map(|number| image(Half::Test, "c", &number.to_string()))
            .collect();
        assert_eq!(files(&many), "test 0, test 1, test 2, 5 others, test 8");
        found.corrupt.push("cannot use `x`: it is empty".to_owned());
        assert!(
            matches!(verdict(&found), Err(Exit::Mistake(message)) if message.starts_with("1 of 60 images"))
        );
    }
}
