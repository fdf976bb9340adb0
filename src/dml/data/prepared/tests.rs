use std::{fs, path::Path};

use schema::{Cache, Dataset, Fingerprint, Glyphs, ImageSize, PreparedIndex, StoredImages};
use serde_json::json;

use super::*;
use crate::data::{
    Background, Color, Listing, Region, Source, decode,
    glyphs::{self, Glyph},
    listing::{Class, Part},
};

const GLYPHS: Glyphs = Glyphs {
    classes: 3,
    test_classes: 2,
    per_class: 4,
    seed: 5,
};

fn gray(side: u32) -> StoredImages {
    StoredImages {
        size: ImageSize::Square(side),
        color: Color::Gray,
        bounding_boxes: false,
        background: None,
    }
}

fn prepare(source: &Source, stored: StoredImages, folder: &Path) -> Result<Summary, DataError> {
    Preparation::new(source, stored, Cache::Auto, folder)?.run(&|_, _| ())
}

fn prepared(folder: &Path) -> Summary {
    prepare(&Source::Glyphs(GLYPHS), gray(12), folder).unwrap()
}

fn whole(data: &PreparedData, image: usize) -> Vec<u8> {
    let region = Region::whole(data.images.sides(image));
    data.images.part(image, region).unwrap().pixels
}

#[test]
fn what_was_prepared_is_what_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let summary = prepared(folder.path());
    let data = PreparedData::open(folder.path()).unwrap();

    assert_eq!(data.counts(), summary);
    assert_eq!((summary.training_images, summary.test_images), (12, 8));
    assert_eq!(
        (data.training_images(), data.test_images()),
        (0..12, 12..20)
    );
    assert_eq!(data.training.labels, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    assert_eq!(data.test.labels, [0, 0, 0, 0, 1, 1, 1, 1]);
    let squares = data.images.squares().unwrap().unwrap();
    assert_eq!(squares.size(), [20, 1, 12, 12]);
    // The second image of the first class to test on, which is drawn as the fourth of all.
    let fourth = glyphs::draw(&GLYPHS, Glyph { class: 3, image: 1 }, 12);
    assert_eq!(whole(&data, 13), fourth);
    assert_eq!(
        data.images
            .part(
                13,
                Region {
                    left: 0,
                    top: 2,
                    width: 12,
                    height: 3
                }
            )
            .unwrap()
            .pixels,
        fourth[24..60]
    );
    let all = Vec::<u8>::try_from(squares.reshape([-1])).unwrap();
    assert_eq!(data.blake3, blake3::hash(&all).to_string());
}

#[test]
fn progress_comes_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let last = std::sync::Mutex::new((0, 0));
    let source = Source::Glyphs(GLYPHS);
    let preparation = Preparation::new(&source, gray(8), Cache::Auto, folder.path()).unwrap();
    let note = |done, total| {
        let mut last = last.lock().unwrap();
        *last = (*last).max((done, total));
    };
    preparation.run(&note).unwrap();
    assert_eq!(last.into_inner().unwrap(), (20, 20));
}

#[test]
fn a_folder_without_an_index_is_not_prepared() {
    let folder = tempfile::tempdir().unwrap();
    prepared(folder.path());
    fs::remove_file(folder.path().join(INDEX)).unwrap();
    assert!(matches!(
        PreparedData::open(folder.path()),
        Err(DataError::Missing { .. })
    ));
}

#[test]
fn preparing_again_mends_whatever_was_there() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(IMAGES), "half").unwrap();
    fs::write(folder.path().join("images.u8.incomplete"), "half").unwrap();
    prepared(folder.path());
    prepared(folder.path());
    assert!(PreparedData::open(folder.path()).is_ok());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// Opens a prepared folder whose index was changed, and sealed again or not.
fn with_index(change: impl FnOnce(&mut serde_json::Value), is_sealed: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    prepared(folder.path());
    let path = folder.path().join(INDEX);
    let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    if is_sealed {
        index.as_object_mut().unwrap().remove("seal");
    }
    change(&mut index);
    let text = match is_sealed {
        true => schema::sealed(PreparedIndex::SUBJECT, &index).unwrap(),
        false => index.to_string(),
    };
    fs::write(&path, text).unwrap();
    PreparedData::open(folder.path()).unwrap_err().to_string()
}

#[test]
fn damage_of_the_index_is_noticed_on_opening() {
    let unsealed = |change: fn(&mut serde_json::Value)| with_index(change, false);
    assert!(unsealed(|index| index["version"] = 1.into()).contains("written by another version"));
    for message in [
        unsealed(|index| index["stored"]["size"]["square"] = 14.into()),
        unsealed(|index| index["training"]["labels"][3] = 1.into()),
        unsealed(|index| index["test"]["classes"][0] = "other".into()),
        unsealed(|index| index["blake3"] = "12".into()),
    ] {
        assert!(message.contains("checksum does not match"), "{message}");
    }
}

#[test]
fn an_index_that_contradicts_itself_is_refused() {
    let sealed = |change: fn(&mut serde_json::Value)| with_index(change, true);
    assert!(
        sealed(|index| index["stored"]["size"]["square"] = 14.into())
            .contains("2880 bytes, not 3920")
    );
    let labels = "labels and classes do not fit";
    assert!(sealed(|index| index["training"]["labels"][4] = 9.into()).contains(labels));
    assert!(sealed(|index| index["test"]["labels"] = [0].as_slice().into()).contains(labels));
    let too_few = [
        ("categories", json!(["bird"])),
        ("wider", json!([["animal"]])),
        ("roles", json!(["both"])),
        ("cameras", json!([0])),
        ("names", json!(["left.png"])),
    ];
    for (key, one) in too_few {
        let message = with_index(|index| index["test"][key] = one, true);
        assert!(message.contains(labels), "{key}: {message}");
    }
    assert!(sealed(|index| *index = "none".into()).contains("it is damaged"));
}

#[test]
fn one_changed_bit_of_the_images_is_noticed_on_opening() {
    let folder = tempfile::tempdir().unwrap();
    prepared(folder.path());
    let path = folder.path().join(IMAGES);
    let whole = fs::read(&path).unwrap();
    for place in [0, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        fs::write(&path, damaged).unwrap();
        let error = PreparedData::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("images.u8"), "{error}");
        assert!(error.contains("checksum does not match"), "{error}");
    }
}

#[test]
fn files_that_are_not_those_of_the_fingerprint_are_refused_whether_kept_or_streamed() {
    let root = tempfile::tempdir().unwrap();
    let source = files(root.path());
    let table = "path,label,class_name,split\nleft.png,0,left,train\nright.png,1,right,test\n";
    fs::write(root.path().join("listing.csv"), table).unwrap();
    let hashed = |name: &str, description: &str| schema::HashedFile {
        name: description.to_owned(),
        hash: blake3::hash(&fs::read(root.path().join(name)).unwrap()),
    };
    let listed = vec![
        hashed("left.png", "0\0left\0train"),
        hashed("right.png", "1\0right\0test"),
    ];
    let fingerprint = Fingerprint::of_files(schema::Files::Listed, listed);
    let prepare = |cache| {
        let into = tempfile::tempdir().unwrap();
        let stored = stored(ImageSize::Square(9), Color::Rgb, false);
        let preparation = Preparation::new(&source, stored, cache, into.path())?;
        let summary = preparation.expecting(fingerprint.clone()).run(&|_, _| ());
        assert_eq!(into.path().join(INDEX).is_file(), summary.is_ok());
        summary
    };
    for cache in [Cache::Always, Cache::Never] {
        prepare(cache).unwrap();
    }
    let right = image::RgbImage::from_pixel(14, 31, image::Rgb([1, 2, 3]));
    right.save(root.path().join("right.png")).unwrap();
    for cache in [Cache::Always, Cache::Never] {
        let error = prepare(cache).unwrap_err().to_string();
        assert!(error.contains("changed after they were hashed"), "{error}");
        assert!(error.contains("`right.png`"), "{error}");
    }
}

#[test]
fn a_streamed_image_that_changes_is_refused_though_it_has_the_same_sides() {
    let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = files(root.path());
    let stored = stored(ImageSize::Square(9), Color::Rgb, false);
    Preparation::new(&source, stored, Cache::Never, into.path())
        .unwrap()
        .run(&|_, _| ())
        .unwrap();
    let data = PreparedData::open(into.path()).unwrap();
    let other = image::RgbImage::from_pixel(14, 31, image::Rgb([1, 2, 3]));
    other.save(root.path().join("right.png")).unwrap();
    let region = Region::whole([9, 9]);
    assert!(data.images.part(0, region).is_ok());
    let error = data.images.part(1, region).unwrap_err().to_string();
    assert!(error.contains("right.png"), "{error}");
    assert!(error.contains("changed since it was prepared"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_the_fault_of_the_disk() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = prepare(&Source::Glyphs(GLYPHS), gray(8), &file.path().join("data")).unwrap_err();
    assert!(matches!(error, DataError::Disk { .. }), "{error}");
}

#[test]
fn a_data_set_without_images_is_possible() {
    let folder = tempfile::tempdir().unwrap();
    let none = Glyphs {
        classes: 0,
        test_classes: 0,
        ..GLYPHS
    };
    prepare(&Source::Glyphs(none), gray(8), folder.path()).unwrap();
    let data = PreparedData::open(folder.path()).unwrap();
    assert_eq!(data.images.squares().unwrap().unwrap().size(), [0, 1, 8, 8]);
}

pub(super) fn birds() -> Dataset {
    Dataset::Own(schema::Own {
        name: "birds".into(),
    })
}

/// Two photographs of other shapes, one to train on and one to test on, the same file with two boxes.
pub(super) fn files(root: &Path) -> Source {
    use crate::data::listing::Image;
    let part = |name: &str, (width, height), bounding_box, role| {
        let path = root.join(format!("{name}.png"));
        let pixel = |x: u32, y: u32| {
            image::Rgb([(x * 9) as u8, (y * 13) as u8, if x < 10 { 0 } else { 200 }])
        };
        image::RgbImage::from_fn(width, height, pixel)
            .save(&path)
            .unwrap();
        Part {
            classes: vec![Class {
                name: name.into(),
                category: Some("things".into()),
                wider: Vec::new(),
            }],
            images: vec![Image {
                path,
                class: 0,
                role,
                bounding_box,
                camera: None,
            }],
        }
    };
    let training = part("left", (20, 10), Some([0, 0, 10, 10]), Role::Both);
    let test = part("right", (14, 31), Some([10, 0, 14, 20]), Role::Query);
    Source::Files {
        dataset: birds(),
        root: root.to_owned(),
        listing: Listing { training, test },
    }
}

pub(super) fn stored(size: ImageSize, color: Color, bounding_boxes: bool) -> StoredImages {
    StoredImages {
        size,
        color,
        bounding_boxes,
        background: None,
    }
}

#[test]
fn images_keep_their_shape_when_only_the_short_side_is_given() {
    let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = files(root.path());
    prepare(
        &source,
        stored(ImageSize::ShortSide(8), Color::Rgb, false),
        into.path(),
    )
    .unwrap();
    let data = PreparedData::open(into.path()).unwrap();
    // Of 14 x 31, the longer side becomes 8 * 31 / 14 = 17.7.
    assert_eq!(
        [data.images.sides(0), data.images.sides(1)],
        [[16, 8], [8, 17]]
    );
    assert!(data.images.squares().unwrap().is_none());
    let expected = decode(&root.path().join("right.png"), Color::Rgb, None)
        .unwrap()
        .resized(8, 17);
    assert_eq!(whole(&data, 1), expected.pixels);
}

#[test]
fn boxes_are_cut_out_when_that_is_wanted() {
    let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = files(root.path());
    prepare(
        &source,
        stored(ImageSize::Square(4), Color::Rgb, true),
        into.path(),
    )
    .unwrap();
    let data = PreparedData::open(into.path()).unwrap();
    let blue = |image| {
        whole(&data, image)
            .as_chunks::<3>()
            .0
            .iter()
            .map(|pixel| pixel[2])
            .collect::<Vec<_>>()
    };
    assert_eq!((blue(0), blue(1)), (vec![0; 16], vec![200; 16]));
    assert_eq!(data.images.squares().unwrap().unwrap().size(), [2, 3, 4, 4]);
    assert_eq!(data.test.roles, [Role::Query]);
    assert_eq!(data.test.names, [Path::new("right.png")]);
    assert_eq!(data.training.categories, [Some("things".to_owned())]);
    assert_eq!(data.test.levels(), [[Some(0)]]);
}

fn with_boxes(source: Source, boxes: [Option<[u32; 4]>; 2]) -> Source {
    let Source::Files {
        dataset,
        root,
        mut listing,
    } = source
    else {
        return source;
    };
    listing.training.images[0].bounding_box = boxes[0];
    listing.test.images[0].bounding_box = boxes[1];
    Source::Files {
        dataset,
        root,
        listing,
    }
}

#[test]
fn boxes_that_cannot_be_cut_out_are_refused_before_anything_is_decoded() {
    let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let refused = |boxes, cut: bool, size| {
        let source = with_boxes(files(root.path()), boxes);
        let stored = stored(size, Color::Rgb, cut);
        Preparation::new(&source, stored, Cache::Never, into.path())
            .err()
            .map(|error| error.to_string())
    };
    let far = Some([900, 0, 950, 9]);
    for size in [ImageSize::Square(8), ImageSize::ShortSide(8)] {
        let message = refused([None, None], true, size).unwrap();
        assert!(
            message.contains("none of its images has a bounding box"),
            "{message}"
        );
        let message = refused([Some([0, 0, 2, 2]), far], true, size).unwrap();
        let expected = "1 of 2 bounding boxes lie outside of their images: `right.png`";
        assert!(message.contains(expected), "{message}");
        assert_eq!(refused([None, far], false, size), None);
        assert_eq!(refused([None, Some([0, 0, 2, 950])], true, size), None);
    }
}

#[test]
fn an_image_that_would_become_too_long_is_refused() {
    let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = files(root.path());
    image::GrayImage::new(1, 60_000)
        .save(root.path().join("right.png"))
        .unwrap();
    let refused = |size| {
        let stored = stored(size, Color::Gray, false);
        Preparation::new(&source, stored, Cache::Auto, into.path())
            .err()
            .map(|error| error.to_string())
    };
    let message = refused(ImageSize::ShortSide(256)).unwrap();
    assert!(
        message.contains("right.png`: of 1 x 60000 pixels it would become 256 x 15360000"),
        "{message}"
    );
    assert_eq!(refused(ImageSize::ShortSide(8)), None);
    assert_eq!(refused(ImageSize::Square(256)), None);
}

#[test]
fn transparent_pixels_are_stored_as_the_background() {
    let root = tempfile::tempdir().unwrap();
    let source = files(root.path());
    for name in ["left.png", "right.png"] {
        image::RgbaImage::from_pixel(9, 9, image::Rgba([10, 20, 30, 0]))
            .save(root.path().join(name))
            .unwrap();
    }
    let stored = |background| StoredImages {
        background,
        ..stored(ImageSize::Square(4), Color::Rgb, false)
    };
    let cases = [
        (None, [10, 20, 30]),
        (Some(Background::White), [255; 3]),
        (Some(Background::Black), [0; 3]),
    ];
    for (background, pixel) in cases {
        for cache in [Cache::Always, Cache::Never] {
            let into = tempfile::tempdir().unwrap();
            Preparation::new(&source, stored(background), cache, into.path())
                .unwrap()
                .run(&|_, _| ())
                .unwrap();
            let data = PreparedData::open(into.path()).unwrap();
            assert_eq!(whole(&data, 1)[..3], pixel, "{background:?} {cache:?}");
        }
    }
}

#[test]
fn images_without_a_cache_have_the_same_pixels() {
    let (root, kept, streamed) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let source = files(root.path());
    let stored = stored(ImageSize::ShortSide(9), Color::Gray, true);
    let open = |cache, folder: &Path| {
        Preparation::new(&source, stored, cache, folder)
            .unwrap()
            .run(&|_, _| ())
            .unwrap();
        PreparedData::open(folder).unwrap()
    };
    let (kept, streamed) = (
        open(Cache::Always, kept.path()),
        open(Cache::Never, streamed.path()),
    );
    for image in 0..2 {
        assert_eq!(whole(&kept, image), whole(&streamed, image));
        let part = Region {
            left: 1,
            top: 3,
            width: 5,
            height: 4,
        };
        assert_eq!(
            kept.images.part(image, part).unwrap(),
            streamed.images.part(image, part).unwrap()
        );
    }
}

#[test]
fn images_that_are_not_kept_may_move() {
    let (before, after, into) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let stored = stored(ImageSize::Square(9), Color::Rgb, true);
    Preparation::new(&files(before.path()), stored, Cache::Never, into.path())
        .unwrap()
        .run(&|_, _| ())
        .unwrap();
    let pixels = || {
        let data = PreparedData::open(into.path()).unwrap();
        let region = Region {
            left: 0,
            top: 0,
            width: 9,
            height: 9,
        };
        data.images.part(0, region).map(|image| image.pixels)
    };
    let expected = pixels().unwrap();
    for name in ["left.png", "right.png"] {
        fs::rename(before.path().join(name), after.path().join(name)).unwrap();
    }
    assert!(pixels().is_err());
    fs::write(
        into.path().join(PrepareWork::ROOT),
        after.path().to_str().unwrap(),
    )
    .unwrap();
    assert_eq!(pixels().unwrap(), expected);
    fs::remove_file(into.path().join(PrepareWork::ROOT)).unwrap();
    assert!(matches!(
        PreparedData::open(into.path()),
        Err(DataError::Missing { .. })
    ));
}

#[test]
fn drawings_that_are_dark_on_light_are_inverted_whether_kept_or_streamed() {
    use crate::data::listing::Image;
    let root = tempfile::tempdir().unwrap();
    let drawing = |name: &str, black: u32| {
        let path = root.path().join(name);
        let pixel = |x: u32, _| image::Luma([if x < black { 0 } else { 255 }]);
        image::GrayImage::from_fn(105, 105, pixel)
            .save(&path)
            .unwrap();
        Part {
            classes: vec![Class {
                name: format!("Korean/{name}"),
                category: Some("Korean".into()),
                wider: Vec::new(),
            }],
            images: vec![Image {
                path,
                class: 0,
                role: Role::Both,
                bounding_box: None,
                camera: None,
            }],
        }
    };
    let source = Source::Files {
        dataset: Dataset::Omniglot,
        root: root.path().to_owned(),
        listing: Listing {
            training: drawing("1.png", 35),
            test: drawing("2.png", 70),
        },
    };
    for cache in [Cache::Always, Cache::Never] {
        let into = tempfile::tempdir().unwrap();
        Preparation::new(&source, gray(28), cache, into.path())
            .unwrap()
            .run(&|_, _| ())
            .unwrap();
        let data = PreparedData::open(into.path()).unwrap();
        assert_eq!(data.training.classes, ["Korean/1.png"]);
        let row = &whole(&data, 1)[..28];
        assert_eq!((row[0], row[17], row[20], row[27]), (255, 255, 0, 0));
    }
}

#[test]
fn a_folder_that_an_earlier_version_prepared_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    prepared(folder.path());
    let path = folder.path().join(INDEX);
    let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(
        PreparedData::open(folder.path()).unwrap().dataset,
        Some(Dataset::Glyphs(GLYPHS))
    );
    for key in ["dataset", "bytes", "seal"] {
        index.as_object_mut().unwrap().remove(key);
    }
    index["stored"]["bounding_boxes"] = false.into();
    fs::write(&path, index.to_string()).unwrap();
    assert_eq!(PreparedData::open(folder.path()).unwrap().dataset, None);
}
