use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use image::RgbImage;
use schema::{Dataset, Registration};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::{
    DataError,
    adding::{Folders, Request, add},
    listing::{Listing, Role},
    table,
};
use crate::testing::folder;

const TABLE: &str =
    "path,label,class_name,split\nimages/a/1.jpg,0,A,train\nimages/b/1.jpg,1,B,test\n";
const FILES: [(&str, &str); 3] = [
    ("own/manifest.csv", TABLE),
    ("own/images/a/1.jpg", "one"),
    ("own/images/b/1.jpg", "two"),
];

fn zip(path: &Path, files: &[(&str, &str)]) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    for (name, content) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}

fn request<'a>(from: &'a [PathBuf], into: &'a Path) -> Request<'a> {
    Request {
        dataset: Dataset::Own(schema::Own {
            name: "birds".to_owned(),
        }),
        from,
        into,
        folders: Folders::Link,
        other_counts: false,
        skip_broken: false,
        test_fraction: None,
        like: None,
        split: None,
    }
}

fn added(from: &Path, into: &Path) -> Result<Registration, DataError> {
    add(&request(&[from.into()], into), &|_, _| ())
}

fn copied(from: &Path, into: &Path) -> Result<Registration, DataError> {
    let from = [from.into()];
    let request = Request {
        folders: Folders::Copy,
        ..request(&from, into)
    };
    add(&request, &|_, _| ())
}

fn listed(into: &Path) -> Listing {
    table::read(&into.join(Registration::LISTING)).unwrap()
}

/// The names in a folder, hidden ones too.
fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_archive_and_a_folder_give_the_same_table_and_registration() {
    let (source, root) = (folder(&FILES), tempfile::tempdir().unwrap());
    let archive = root.path().join("own.zip");
    zip(
        &archive,
        &[&FILES[..], &[("__MACOSX/own/._1.jpg", "junk")]].concat(),
    );
    let tables = [archive, source.path().join("own")].map(|from| {
        let into = root.path().join("data/birds");
        let registration = added(&from, &into).unwrap();
        assert_eq!(registration.training_images, 1);
        assert_eq!(names_in(&into), ["dataset.json", "files", "listing.csv"]);
        assert_eq!(names_in(&root.path().join("data")), ["birds"]);
        let image = into.join("files/own/images/b/1.jpg");
        assert_eq!(fs::read_to_string(image).unwrap(), "two");
        let table = fs::read(into.join(Registration::LISTING)).unwrap();
        assert!(registration.is_of(&table) && !registration.is_of(b"another"));
        let written = fs::read(into.join(Registration::FILE)).unwrap();
        assert_eq!(
            serde_json::from_slice::<Registration>(&written).unwrap(),
            registration
        );
        String::from_utf8(table).unwrap()
    });
    assert!(
        tables[0].contains("files/own/images/a/1.jpg,0,A,train"),
        "{}",
        tables[0]
    );
    assert_eq!(tables[0], tables[1]);
}

#[test]
fn folders_are_linked_to_or_copied_and_never_changed() {
    let (source, root) = (folder(&FILES), tempfile::tempdir().unwrap());
    let (own, into) = (source.path().join("own"), root.path().join("birds"));
    symlink("..", own.join("images/loop")).unwrap();
    for name in ["itself.png", "nothing.png"] {
        symlink("itself.png", own.join("images/a").join(name)).unwrap();
    }
    added(&own, &into).unwrap();
    assert!(into.join("files/own").is_symlink());
    copied(&own, &into).unwrap();
    assert!(!into.join("files/own").is_symlink());
    assert_eq!(names_in(&into.join("files/own/images")), ["a", "b"]);
    added(&own, &into).unwrap();
    assert!(own.join("images/a/1.jpg").is_file());
}

#[test]
fn nothing_is_unpacked_through_the_link_to_a_folder() {
    let (source, root) = (folder(&FILES), tempfile::tempdir().unwrap());
    let archive = root.path().join("more.zip");
    zip(&archive, &[("own/extra.txt", "planted")]);
    let own = source.path().join("own");
    for from in [[own.clone(), archive.clone()], [archive, own.clone()]] {
        let into = root.path().join("data/birds");
        let error = add(&request(&from, &into), &|_, _| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains("something else of this name"), "{error}");
        assert_eq!(names_in(&own), ["images", "manifest.csv"]);
        assert_eq!(names_in(root.path()), ["more.zip"]);
    }
}

#[test]
fn files_in_the_data_sets_own_folder_are_left_in_place() {
    let root = folder(&FILES);
    let own = root.path().join("own");
    for _ in 0..2 {
        assert_eq!(added(&own, &own).unwrap().layout, "`manifest.csv`");
        assert_eq!(
            names_in(&own),
            ["dataset.json", "images", "listing.csv", "manifest.csv"]
        );
    }
    let text = fs::read_to_string(own.join(Registration::LISTING)).unwrap();
    assert!(text.contains("\nimages/a/1.jpg,0,A,train,"), "{text}");
    assert_eq!(listed(&own).test.images[0].role, Role::Both);
}

#[test]
fn nothing_of_the_user_is_removed_from_the_data_sets_own_folder() {
    let root = folder(&FILES);
    let (own, other) = (root.path().join("own"), folder(&FILES));
    added(&own, &own).unwrap();
    let both = [own.clone(), other.path().join("own")];
    let error = add(&request(&both, &own), &|_, _| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains("give it alone"), "{error}");
    let error = added(&other.path().join("own"), &own)
        .unwrap_err()
        .to_string();
    assert!(error.contains("it holds `images`"), "{error}");
    let into = root.path().join("birds");
    copied(&own, &into).unwrap();
    let error = added(&into.join("files/own"), &into)
        .unwrap_err()
        .to_string();
    assert!(error.contains("in the data set's own folder"), "{error}");
    assert!(
        own.join("images/a/1.jpg").is_file() && into.join("files/own/images/a/1.jpg").is_file()
    );
}

#[test]
fn what_is_refused_is_named_as_it_was_given_and_leaves_what_was_there() {
    let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let into = into.path().join("data/birds");
    let bad = [
        &[("own/manifest.csv", TABLE), ("own/images/a/1.jpg", "")][..],
        &[("own/manifest.csv", "path,label\n1.jpg,\n")],
        &[
            ("own/manifest.csv", TABLE),
            ("own/images/a/1.jpg", ""),
            ("own/images/b/1.jpg/1.png", ""),
        ],
        &[("own/train/a/1.jpg", ""), ("own/test/a/2.jpg", "")],
        &[
            (
                "own/manifest.csv",
                "path,label,split\n1.jpg,1,train\n1.jpg,2,test\n",
            ),
            ("own/1.jpg", ""),
        ],
        &[("own/readme.txt", "")],
    ];
    for (is_second, files) in [(false, bad), (true, bad)]
        .iter()
        .flat_map(|(second, bad)| bad.map(|files| (*second, files)))
    {
        let source = folder(files);
        if is_second {
            added(&folder(&FILES).path().join("own"), &into).ok();
        }
        let archive = root.path().join("given.zip");
        zip(&archive, files);
        for given in [source.path().join("own"), archive] {
            let error = added(&given, &into).unwrap_err().to_string();
            assert!(error.contains(&given.display().to_string()), "{error}");
            assert!(
                !error.contains("incomplete") && !error.contains("files/"),
                "{error}"
            );
            assert_eq!(into.parent().unwrap().exists(), is_second);
        }
    }
}

#[test]
fn an_earlier_data_set_is_replaced_whole() {
    let root = tempfile::tempdir().unwrap();
    let into = root.path().join("birds");
    copied(&folder(&FILES).path().join("own"), &into).unwrap();
    let other = folder(&[("new/train/c/1.jpg", ""), ("new/val/d/2.jpg", "")]);
    copied(&other.path().join("new"), &into).unwrap();
    assert_eq!(names_in(&into.join("files")), ["new"]);
    assert_eq!(listed(&into).training.classes[0].name, "c");
    assert_eq!(names_in(root.path()), ["birds"]);
}

#[test]
fn the_data_root_can_be_a_link() {
    let (source, root) = (folder(&FILES), tempfile::tempdir().unwrap());
    fs::create_dir(root.path().join("large")).unwrap();
    symlink("large", root.path().join("data")).unwrap();
    let into = root.path().join("data/birds");
    for _ in 0..2 {
        let added = added(&source.path().join("own"), &into).unwrap();
        assert_eq!(added.left_aside, [""; 0]);
        assert_eq!(names_in(&root.path().join("large")), ["birds"]);
    }
    let error = added(&source.path().join("own/images/a"), &into)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&source.path().join("own/images/a").display().to_string()),
        "{error}"
    );
    fs::write(root.path().join("large/file"), "").unwrap();
    let error = added(&source.path().join("own"), &root.path().join("data/file"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("a file is in the place"), "{error}");
}

#[test]
fn pipes_and_devices_are_refused() {
    let source = folder(&[("own/a/1.jpg", ""), ("own/b/2.jpg", "")]);
    let pipe = source.path().join("own/a/pipe.jpg");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let root = tempfile::tempdir().unwrap();
    let into = root.path().join("birds");
    for result in [
        added(&source.path().join("own"), &into),
        copied(&source.path().join("own"), &into),
        added(&pipe, &into),
        added(Path::new("/dev/zero"), &into),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("a pipe or a device"), "{error}");
    }
}

#[test]
fn other_counts_than_the_published_ones_are_shown_and_refused_unless_allowed() {
    let (source, root) = (folder(&FILES), tempfile::tempdir().unwrap());
    let (from, into) = ([source.path().join("own")], root.path().join("cub200"));
    let cub = Request {
        dataset: Dataset::Cub200,
        ..request(&from, &into)
    };
    let error = add(&cub, &|_, _| ()).unwrap_err().to_string();
    assert!(
        error.contains("\n  training images  expected    5864   found       1\n"),
        "{error}"
    );
    assert!(!into.exists());
    let allowed = Request {
        other_counts: true,
        ..cub
    };
    assert_eq!(add(&allowed, &|_, _| ()).unwrap().differences.len(), 6);
}

/// An image of one color.
fn png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    RgbImage::new(4, 4)
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

#[test]
fn broken_images_are_left_out_by_request_and_kept_in_mind() {
    let source = tempfile::tempdir().unwrap();
    let own = source.path().join("own");
    for name in [
        "a/1.png", "a/2.png", "b/1.png", "c/1.png", "c/2.png", "d/1.png",
    ] {
        fs::create_dir_all(own.join(name).parent().unwrap()).unwrap();
        fs::write(own.join(name), png()).unwrap();
    }
    fs::write(own.join("a/1.png"), "<html>").unwrap();
    fs::write(own.join("d/1.png"), "").unwrap();
    let root = tempfile::tempdir().unwrap();
    let (from, into) = ([own.clone()], root.path().join("birds"));
    let undecoded = add(&request(&from, &into), &|_, _| ()).unwrap();
    assert_eq!(
        (
            undecoded.training_images,
            undecoded.test_images,
            undecoded.broken
        ),
        (3, 3, None)
    );
    let skipping = Request {
        skip_broken: true,
        ..request(&from, &into)
    };
    let whole = add(&skipping, &|_, _| ()).unwrap();
    assert_eq!(
        (whole.training_images, whole.test_images, whole.test_classes),
        (2, 2, 1)
    );
    let broken = whole.broken.unwrap();
    let paths: Vec<&str> = broken.iter().map(|image| image.path.as_str()).collect();
    assert_eq!(paths, ["own/a/1.png", "own/d/1.png"]);
    assert_eq!(broken[1].why, "it is empty");
    assert_eq!(listed(&into).test.classes.len(), 1);
    fs::write(own.join("c/1.png"), "").unwrap();
    fs::write(own.join("c/2.png"), "").unwrap();
    let error = add(&skipping, &|_, _| ()).unwrap_err().to_string();
    assert!(
        error.contains("without its 4 broken images, there are no test images"),
        "{error}"
    );
}

#[test]
fn every_image_and_table_that_is_not_listed_is_told_with_its_folder() {
    let heic = "\0\0\0\u{18}ftypheic\0\0\0\0mif1heic";
    let files = [
        ("own/a/1.jpg", ""),
        ("own/b/2.jpg", ""),
        ("own/b/3.heic", heic),
        ("own/b/.hidden.jpg", ""),
        ("own/cover.png", ""),
        ("own/c/4", heic),
        ("own/d/readme.txt", ""),
        ("own/labels.csv", "file,kind\n"),
    ];
    let told = |files: &[(&str, &str)]| {
        let root = tempfile::tempdir().unwrap();
        let source = folder(files);
        let added = added(&source.path().join("own"), &root.path().join("birds")).unwrap();
        added.left_aside
    };
    assert_eq!(
        told(&files),
        [
            "1 image file (.png) in `own`, not listed: own/cover.png",
            "1 image file (.heic) in `own/b`, of a format that is not read: own/b/3.heic",
            "1 image file in `own/c`, of a format that is not read: own/c/4",
            "1 folder without an image: own/d",
            "1 table not used, as classes are read from folders (a table of images has the columns `path` and `label`): own/labels.csv",
        ]
    );
    let extra = ["1", "2", "3", "4"].map(|name| format!("own/extra/deep/{name}.jpg"));
    let extra = extra.each_ref().map(|name| (name.as_str(), ""));
    let halves = [("own/train/a/1.jpg", ""), ("own/test/b/2.jpg", "")];
    assert_eq!(
        told(&[&halves[..], &extra].concat()),
        [
            "4 image files (.jpg) in `own/extra`, not listed: own/extra/deep/1.jpg, own/extra/deep/2.jpg, own/extra/deep/3.jpg, …"
        ]
    );
    let listed = [("own/images/c/3.jpg", ""), FILES[0], FILES[1], FILES[2]];
    assert_eq!(told(&FILES), [""; 0]);
    assert_eq!(told(&listed).len(), 1);
}

#[test]
fn the_files_of_a_known_data_set_have_another_split_under_another_name() {
    const HEADER: &str = "image_id class_id super_class_id path\n";
    let lists = [
        "1 1 1 mug_final/1_0.JPG\n2 2 1 mug_final/2_0.JPG\n",
        "3 10 1 mug_final/10_0.JPG\n",
    ];
    let [training, test] = lists.map(|lines| format!("{HEADER}{lines}"));
    let source = folder(&[
        ("sop/Ebay_train.txt", &*training),
        ("sop/Ebay_test.txt", &*test),
        ("sop/mug_final/1_0.JPG", "one"),
        ("sop/mug_final/2_0.JPG", "two"),
        ("sop/mug_final/10_0.JPG", "ten"),
        ("hard.csv", "class,split\nmug/10,train\nmug/1,test\n"),
        ("whole.csv", "mug/1,train\nmug/2,train\nmug/10,test\n"),
        ("wrong.csv", "mug/11,train\n"),
    ]);
    let (from, into) = ([source.path().join("sop")], source.path().join("data/hard"));
    let by_list = |list: &str| {
        let list = source.path().join(list);
        let request = Request {
            like: Some(Dataset::Sop),
            split: Some(&list),
            ..request(&from, &into)
        };
        add(&request, &|_, _| ())
    };
    let wrong = by_list("wrong.csv").unwrap_err().to_string();
    assert!(
        wrong.contains("line 1: no class is called `mug/11`"),
        "{wrong}"
    );
    assert!(!into.exists());
    let words = |list: &str| {
        let layout = by_list(list).unwrap().layout;
        layout.split_once("; ").map(|(_, words)| words.to_owned())
    };
    let divided = "divided by the list `whole.csv`";
    assert_eq!(words("whole.csv").as_deref(), Some(divided));
    let divided = "divided by the list `hard.csv`, which leaves out 1 of 3 classes";
    assert_eq!(words("hard.csv").as_deref(), Some(divided));
    let listing = listed(&into);
    let files = listing.halves().map(|(_, part)| {
        let names = part
            .images
            .iter()
            .map(|image| image.path.file_name().unwrap());
        names.collect::<Vec<_>>()
    });
    assert_eq!(files, [["10_0.JPG"], ["1_0.JPG"]]);
}
