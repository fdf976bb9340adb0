use std::fs;

use tempfile::TempDir;

use super::*;
use crate::{data::table, testing::folder};

fn own() -> Dataset {
    Dataset::Own(schema::Own {
        name: "birds".to_owned(),
    })
}

/// Classes and images of both halves, `name: file file, name: file | name: file`.
fn summary(found: &Found) -> String {
    let of_part = |part: &Part| {
        let class = |(label, class): (usize, &Class)| {
            let images = part
                .images
                .iter()
                .filter(|image| image.class as usize == label);
            let files: Vec<_> = images
                .map(|image| image.path.file_name().unwrap().to_string_lossy())
                .collect();
            format!("{}: {}", class.full_name(), files.join(" "))
        };
        part.classes
            .iter()
            .enumerate()
            .map(class)
            .collect::<Vec<_>>()
            .join(", ")
    };
    format!(
        "{} | {}",
        of_part(&found.listing.training),
        of_part(&found.listing.test)
    )
}

fn read(dataset: &Dataset, files: &[(&str, &str)]) -> String {
    summary(&find(dataset, folder(files).path()).unwrap())
}

fn refused(dataset: &Dataset, files: &[(&str, &str)]) -> String {
    find(dataset, folder(files).path()).unwrap_err().to_string()
}

const CUB: [(&str, &str); 6] = [
    (
        "CUB_200_2011/images.txt",
        "1 001.Albatross/a_1.jpg\n2 002.Auk/b_1.jpg\n3 001.Albatross/._a_1.jpg\n4 002.Auk/b_2.jpg\n",
    ),
    (
        "CUB_200_2011/image_class_labels.txt",
        "1 1\n2 2\n3 1\n4 2\n",
    ),
    ("CUB_200_2011/train_test_split.txt", "1 0\n2 1\n3 1\n4 0\n"),
    ("CUB_200_2011/images/001.Albatross/a_1.jpg", ""),
    ("CUB_200_2011/images/002.Auk/b_1.jpg", ""),
    ("CUB_200_2011/images/002.Auk/b_2.jpg", ""),
];

#[test]
fn birds_are_split_by_class_and_never_by_the_list_that_splits_images() {
    assert_eq!(
        read(&Dataset::Cub200, &CUB),
        "001.Albatross: a_1.jpg | 002.Auk: b_1.jpg b_2.jpg"
    );
    assert!(
        boxes(&find(&Dataset::Cub200, folder(&CUB).path()).unwrap())
            .iter()
            .all(Option::is_none)
    );
}

/// The box of each image, those to train on first.
fn boxes(found: &Found) -> Vec<Option<[u32; 4]>> {
    let images = found
        .listing
        .halves()
        .into_iter()
        .flat_map(|(_, part)| &part.images);
    images.map(|image| image.bounding_box).collect()
}

#[test]
fn every_list_of_boxes_is_read_in_its_own_way() {
    let list = "1 60.0 27.0 325.0 304.0\n2 0.0 0.0 1.0 1.0\n4 5.0 6.0 7.0 8.0\n";
    let birds = folder(&[&CUB[..], &[("CUB_200_2011/bounding_boxes.txt", list)]].concat());
    let expected = [
        Some([60, 27, 385, 331]),
        Some([0, 0, 1, 1]),
        Some([5, 6, 12, 14]),
    ];
    assert_eq!(
        boxes(&find(&Dataset::Cub200, birds.path()).unwrap()),
        expected
    );
    let wrong = refused(
        &Dataset::Cub200,
        &[
            &CUB[..],
            &[("CUB_200_2011/bounding_boxes.txt", "1 60 27 325\n")],
        ]
        .concat(),
    );
    assert!(
        wrong.contains("line 1: `1 60 27 325` is not an image's number and its box"),
        "{wrong}"
    );

    let list = "2\nimage_name clothes_type pose_type x_1 y_1 x_2 y_2\n\
        img/MEN/Shorts/id_2/2.jpg  2 1  050 049 208 256\nimg/WOMEN/Dresses/id_1/1.jpg 3 1 1 2 3 4\n";
    let clothes = folder(&[&IN_SHOP[..], &[("Anno/list_bbox_inshop.txt", list)]].concat());
    let expected = [Some([1, 2, 3, 4]), None, Some([50, 49, 208, 256]), None];
    assert_eq!(
        boxes(&find(&Dataset::InShop, clothes.path()).unwrap()),
        expected
    );
    fs::rename(
        clothes.path().join("Img/img"),
        clothes.path().join("Img/img_highres"),
    )
    .unwrap();
    assert_eq!(
        boxes(&find(&Dataset::InShop, clothes.path()).unwrap()),
        [None; 4]
    );
}

#[test]
fn a_listed_image_that_is_missing_or_a_folder_is_named() {
    let missing = refused(&Dataset::Cub200, &CUB[..5]);
    assert!(missing.contains("b_2.jpg` is missing"), "{missing}");
    let mut folder_instead = CUB;
    folder_instead[5].0 = "CUB_200_2011/images/002.Auk/b_2.jpg/inner.jpg";
    let message = refused(&Dataset::Cub200, &folder_instead);
    assert!(
        message.contains("it is a folder, not an image"),
        "{message}"
    );
}

#[test]
fn the_official_lists_of_birds_have_the_published_counts() {
    let lists =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/layouts/CUB_200_2011");
    if !lists.exists() {
        println!("skipped: `{}` is absent", lists.display());
        return;
    }
    let root = tempfile::tempdir().unwrap();
    for file in ["images.txt", "image_class_labels.txt", "bounding_boxes.txt"] {
        fs::copy(lists.join(file), root.path().join(file)).unwrap();
    }
    for line in fs::read_to_string(lists.join("images.txt"))
        .unwrap()
        .lines()
    {
        let path = root
            .path()
            .join("images")
            .join(line.split_once(' ').unwrap().1);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let found = find(&Dataset::Cub200, root.path()).unwrap();
    assert_eq!(Some(found.listing.counts()), Dataset::Cub200.facts().counts);
    assert_eq!(found.listing.test.classes[0].name, "101.White_Pelican");
    assert_eq!(found.listing.training.sizes().into_iter().min(), Some(41));
    assert_eq!(boxes(&found).iter().flatten().count(), 11_788);
}

fn cars() -> TempDir {
    let root = folder(&[
        ("car_ims/000001.jpg", ""),
        ("car_ims/000002.jpg", ""),
        ("car_ims/000003.jpg", ""),
    ]);
    fs::write(
        root.path().join("cars_annos.mat"),
        include_bytes!("../testdata/compressed.mat"),
    )
    .unwrap();
    root
}

#[test]
fn cars_are_read_from_their_annotations() {
    let root = cars();
    let found = find(&Dataset::Cars196, root.path()).unwrap();
    assert_eq!(
        summary(&found),
        "AM General Hummer SUV 2000: 000001.jpg | Citroën 2CV: 000002.jpg 000003.jpg"
    );

    let annotations = include_bytes!("../testdata/plain.mat");
    fs::write(root.path().join("cars_annos.mat"), &annotations[..900]).unwrap();
    let error = find(&Dataset::Cars196, root.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("no whole MATLAB 5 file"), "{error}");
}

#[test]
fn both_halves_of_the_cars_devkit_are_merged_and_the_one_without_classes_is_not_enough() {
    let root = folder(&[("devkit/readme.txt", "")]);
    let (train, test) = (
        root.path().join("cars_train/cars_train"),
        root.path().join("cars_test"),
    );
    fs::create_dir_all(&train).unwrap();
    fs::create_dir_all(&test).unwrap();
    let write = |name: &str| {
        fs::write(
            root.path().join("devkit").join(name),
            include_bytes!("../testdata/devkit.mat"),
        )
        .unwrap();
    };
    write("cars_train_annos.mat");
    write("cars_meta.mat");
    for file in ["00001.jpg", "00002.jpg"] {
        fs::write(train.join(file), "").unwrap();
        fs::write(test.join(file), "").unwrap();
    }
    let error = find(&Dataset::Cars196, root.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("cars_test_annos_withlabels.mat` is missing"),
        "{error}"
    );
    write("cars_test_annos_withlabels.mat");
    // A popular copy has the annotations of other images beside.
    fs::write(
        root.path().join("cars_annos.mat"),
        include_bytes!("../testdata/plain.mat"),
    )
    .unwrap();
    let found = find(&Dataset::Cars196, root.path()).unwrap();
    assert_eq!(
        found.layout,
        "the devkit, with `cars_train` and `cars_test`"
    );
    assert_eq!(
        summary(&found),
        "Hummer: 00001.jpg 00001.jpg | 2CV: 00002.jpg 00002.jpg"
    );
    // Corners are counted from 1 in the file, and the second one is inside.
    assert_eq!(
        boxes(&found)[1..3],
        [Some([38, 115, 569, 375]), Some([0, 0, 8, 6])]
    );
}

#[test]
fn cars_without_their_annotations_or_images_are_not_taken_for_two_classes() {
    let images = empty(&["cars_train/cars_train/1.jpg", "cars_test/cars_test/1.jpg"]);
    let message = refused(&Dataset::Cars196, &images);
    assert!(message.contains("is missing: the devkit"), "{message}");
    let root = cars();
    fs::rename(root.path().join("car_ims"), root.path().join("elsewhere")).unwrap();
    let message = find(&Dataset::Cars196, root.path())
        .unwrap_err()
        .to_string();
    assert!(message.contains("car_ims` is missing"), "{message}");
}

#[test]
fn class_folders_that_split_the_images_of_cars_are_merged_but_nobody_elses() {
    let files = [
        ("train/a/1.jpg", ""),
        ("train/b/1.jpg", ""),
        ("test/a/2.jpg", ""),
        ("test/b/2.jpg", ""),
    ];
    assert_eq!(
        read(&Dataset::Cars196, &files),
        "a: 2.jpg 1.jpg | b: 2.jpg 1.jpg"
    );
    let message = refused(&own(), &files);
    assert!(
        message.contains("2 classes are in both halves: `a`, …"),
        "{message}"
    );
}

const SOP: [(&str, &str); 6] = [
    (
        "Ebay_train.txt",
        "image_id class_id super_class_id path\n1 1 1 bicycle_final/1_0.JPG\n2 1 1 bicycle_final/1_1.JPG\n3 2 2 mug_final/2_0.JPG\n",
    ),
    (
        "Ebay_test.txt",
        "image_id class_id super_class_id path\r\n4 10 2 mug_final/10_0.JPG\r\n",
    ),
    ("bicycle_final/1_0.JPG", ""),
    ("bicycle_final/1_1.JPG", ""),
    ("mug_final/2_0.JPG", ""),
    ("mug_final/10_0.JPG", ""),
];

#[test]
fn products_have_super_classes_and_classes_in_the_order_of_their_numbers() {
    assert_eq!(
        read(&Dataset::Sop, &SOP),
        "bicycle/1: 1_0.JPG 1_1.JPG, mug/2: 2_0.JPG | mug/10: 10_0.JPG"
    );
    let moved = SOP.map(|(name, content)| match name.strip_prefix("Ebay") {
        Some(list) => (format!("Info_Files/Ebay{list}"), content),
        None => (format!("images/{name}"), content),
    });
    let moved: Vec<(&str, &str)> = moved
        .iter()
        .map(|(name, content)| (name.as_str(), *content))
        .collect();
    assert!(read(&Dataset::Sop, &moved).ends_with("mug/10: 10_0.JPG"));
}

#[test]
fn a_wrong_header_and_a_wrong_line_are_named_with_their_place() {
    let with_test = |list| {
        let mut files = SOP;
        files[1].1 = list;
        refused(&Dataset::Sop, &files)
    };
    assert!(
        with_test("id class path\n")
            .contains("line 1: expected `image_id class_id super_class_id path`")
    );
    assert!(
        with_test("image_id class_id super_class_id path\n\n4 10 mug_final/10_0.JPG\n")
            .contains("line 3:")
    );
    assert!(
        with_test("image_id class_id super_class_id path\n4 x 2 mug_final/10_0.JPG\n")
            .contains("`x` is not a number")
    );
}

const INATURALIST: [(&str, &str); 6] = [
    (
        "Inat_dataset_splits/Inaturalist_train_set1.txt",
        "train_val2018/Aves/12/b.jpg\ntrain_val2018/Aves/12/a.jpg\ntrain_val2018/Fungi/9/c.jpg\n",
    ),
    (
        "Inat_dataset_splits/Inaturalist_test_set1.txt",
        "train_val2018/Aves/3/d.jpg\r\n",
    ),
    ("train_val2018/Aves/12/a.jpg", ""),
    ("train_val2018/Aves/12/b.jpg", ""),
    ("train_val2018/Fungi/9/c.jpg", ""),
    ("train_val2018/Aves/3/d.jpg", ""),
];

#[test]
fn species_have_groups_and_the_order_of_their_numbers() {
    let expected = "Fungi/9: c.jpg, Aves/12: a.jpg b.jpg | Aves/3: d.jpg";
    assert_eq!(read(&Dataset::Inaturalist2018, &INATURALIST), expected);
    let beside = INATURALIST.map(|(name, content)| {
        let name = name.strip_prefix("Inat_dataset_splits/").unwrap_or(name);
        (name, content)
    });
    assert_eq!(read(&Dataset::Inaturalist2018, &beside), expected);
}

#[test]
fn species_have_the_taxonomy_of_the_official_files() {
    let species = |id: u32, genus: &str| {
        format!(
            r#"{{"id": {id}, "name": "x", "genus": "{genus}", "family": "F", "order": "O", "class": "C", "phylum": "P", "kingdom": "K"}}"#
        )
    };
    let all = [
        species(12, "Pica"),
        species(9, "Amanita"),
        species(3, "Parus"),
    ]
    .join(", ");
    let list = format!(r#"{{"images": [{{"id": 1}}], "categories": [{all}]}}"#);
    let array = format!("[{all}]");
    for (name, text) in [("train2018.json", &list), ("categories.json", &array)] {
        let with = [&INATURALIST[..], &[(name, text)]].concat();
        let found = find(&Dataset::Inaturalist2018, folder(&with).path()).unwrap();
        assert_eq!(
            summary(&found),
            "Amanita/9: c.jpg, Pica/12: a.jpg b.jpg | Parus/3: d.jpg"
        );
        assert_eq!(
            found.listing.test.classes[0].wider,
            ["F", "O", "C", "P", "K"]
        );
    }
    let fewer = format!("[{}]", species(12, "Pica"));
    let with = [&INATURALIST[..], &[("categories.json", &fewer)]].concat();
    let message = refused(&Dataset::Inaturalist2018, &with);
    assert!(
        message.contains("line 3: species 9 is not in the taxonomy"),
        "{message}"
    );
    let with = [&INATURALIST[..], &[("categories.json", "[{}]")]].concat();
    let message = refused(&Dataset::Inaturalist2018, &with);
    assert!(
        message.contains("categories.json`: missing field `id`"),
        "{message}"
    );
}

#[test]
fn a_list_of_species_without_images_or_with_a_wrong_line_is_refused() {
    let without = refused(&Dataset::Inaturalist2018, &INATURALIST[..2]);
    assert!(without.contains("train_val2018"), "{without}");
    for (line, expected) in [
        (
            "Aves.jpg\n",
            "line 1: expected a path that ends with a group",
        ),
        (
            "train_val2018/Aves/Pica pica/a.jpg\n",
            "`Pica pica` is not a number",
        ),
    ] {
        let mut files = INATURALIST;
        files[0].1 = line;
        let message = refused(&Dataset::Inaturalist2018, &files);
        assert!(message.contains(expected), "{message}");
    }
}

const VEHICLES: [(&str, &str); 9] = [
    (
        "train_test_split/train_list.txt",
        "0000012 10\n0000003 9\n0000004 10\n",
    ),
    ("train_test_split/test_list_800.txt", "5 2\r\n0000006 2\r\n"),
    ("train_test_split/test_list_1600.txt", "0000006 2\n"),
    ("train_test_split/test_list_2400.txt", "0000005 2\n"),
    ("image/0000003.jpg", ""),
    ("image/0000004.jpg", ""),
    ("image/0000005.jpg", ""),
    ("image/0000006.jpg", ""),
    ("image/0000012.jpg", ""),
];

#[test]
fn vehicles_have_three_test_sets() {
    let train = "9: 0000003.jpg, 10: 0000004.jpg 0000012.jpg";
    for (dataset, test) in [
        (Dataset::VehicleIdSmall, "2: 0000005.jpg 0000006.jpg"),
        (Dataset::VehicleIdMedium, "2: 0000006.jpg"),
        (Dataset::VehicleIdLarge, "2: 0000005.jpg"),
    ] {
        assert_eq!(read(&dataset, &VEHICLES), format!("{train} | {test}"));
    }
    let mut without = VEHICLES;
    without[1].0 = "test_list_800.txt";
    let message = refused(&Dataset::VehicleIdSmall, &without);
    assert!(
        message.contains("train_test_split/test_list_800.txt"),
        "{message}"
    );
    let mut wrong = VEHICLES;
    wrong[0].1 = "0000012 10 3\n";
    let message = refused(&Dataset::VehicleIdLarge, &wrong);
    assert!(
        message.contains("line 1: `0000012 10 3` is not the number"),
        "{message}"
    );
}

const IN_SHOP: [(&str, &str); 5] = [
    (
        "Eval/list_eval_partition.txt",
        "\u{feff}4\nimage_name item_id evaluation_status\n\
        img/WOMEN/Dresses/id_1/1.jpg   id_1  train\nimg/MEN/Shorts/id_2/1.jpg  id_2  query\n\
        img/MEN/Shorts/id_2/2.jpg  id_2  gallery\nimg/MEN/Tees/id_3/1.jpg  id_3  gallery\n",
    ),
    ("Img/img/WOMEN/Dresses/id_1/1.jpg", ""),
    ("Img/img/MEN/Shorts/id_2/1.jpg", ""),
    ("Img/img/MEN/Shorts/id_2/2.jpg", ""),
    ("Img/img/MEN/Tees/id_3/1.jpg", ""),
];

#[test]
fn clothes_have_queries_and_a_gallery() {
    let folder = folder(&IN_SHOP);
    let found = find(&Dataset::InShop, folder.path()).unwrap();
    assert_eq!(
        summary(&found),
        "WOMEN-Dresses/id_1: 1.jpg | MEN-Shorts/id_2: 1.jpg 2.jpg, MEN-Tees/id_3: 1.jpg"
    );
    let roles: Vec<Role> = found
        .listing
        .test
        .images
        .iter()
        .map(|image| image.role)
        .collect();
    assert_eq!(roles, [Role::Query, Role::Gallery, Role::Gallery]);
}

#[test]
fn clothes_without_what_a_query_searches_for_are_refused() {
    let mut files = IN_SHOP;
    let text = files[0].1.replacen("id_3  gallery", "id_3  query", 1);
    files[0].1 = &text;
    let message = refused(&Dataset::InShop, &files);
    assert!(
        message.contains("1 query class has no gallery image: `id_3`"),
        "{message}"
    );
    let text = text.replacen('4', "5", 1);
    files[0].1 = &text;
    assert!(refused(&Dataset::InShop, &files).contains("announces 5 images, but lists 4"));
}

#[test]
fn lists_may_have_spaces_commas_gaps_a_byte_order_mark_and_either_line_end() {
    let images = [
        ("my pictures/a 1.jpg", ""),
        ("my pictures/b,2.jpg", ""),
        ("my pictures/c.jpg", ""),
        ("d.jpg", ""),
    ];
    let with = |train, test| {
        let files = [&images[..], &[("train.txt", train), ("test.txt", test)]].concat();
        read(&own(), &files)
    };
    let expected = "3: a 1.jpg, 10: b,2.jpg | 11: d.jpg c.jpg";
    let spaces = "\u{feff}my pictures/b,2.jpg 10\r\nmy pictures/a 1.jpg 3\r\n\r\n";
    assert_eq!(with(spaces, "my pictures/c.jpg\t11\nd.jpg 11"), expected);
    assert_eq!(
        with(
            "my pictures/b,2.jpg,10\nmy pictures/a 1.jpg,3\n",
            "my pictures/c.jpg, 11\nd.jpg,11\n"
        ),
        expected
    );
}

#[test]
fn lists_that_number_both_halves_from_0_are_told_apart_by_their_folders() {
    let images = [("x/1.jpg", ""), ("y/1.jpg", "")];
    let lists = [("train.txt", "x/1.jpg 0\n"), ("test.txt", "y/1.jpg 0\n")];
    assert_eq!(
        read(&own(), &[images, lists].concat()),
        "x: 1.jpg | y: 1.jpg"
    );
    let lists = [
        ("train.txt", "x/1.jpg 0\n"),
        ("test.txt", "x/2.jpg 0\n"),
        ("x/2.jpg", ""),
    ];
    assert!(refused(&own(), &[&images[..], &lists].concat()).contains("both halves: `x`"));
}

#[test]
fn lists_may_have_a_query_and_a_gallery_file() {
    let files = [
        ("train.txt", "img/a/1.jpg 0"),
        ("query.txt", "img/b/1.jpg 5"),
        ("gallery.txt", "img/b/2.jpg 5"),
        ("img/a/1.jpg", ""),
        ("img/b/1.jpg", ""),
        ("img/b/2.jpg", ""),
    ];
    let folder = folder(&files);
    let counts = find(&Dataset::InShop, folder.path())
        .unwrap()
        .listing
        .counts();
    assert_eq!(
        (counts.training_images, counts.queries, counts.references),
        (1, 1, 1)
    );
}

#[test]
fn a_line_that_is_not_text_or_has_no_label_is_named() {
    let folder = folder(&[("train.txt", "a.jpg 0"), ("a.jpg", "")]);
    fs::write(folder.path().join("test.txt"), b"a.jpg 1\nb\xff.jpg 1\n").unwrap();
    let error = find(&own(), folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("test.txt`: line 2: it is not valid UTF-8"),
        "{error}"
    );
    let message = refused(
        &own(),
        &[
            ("train.txt", "a.jpg 0"),
            ("test.txt", "a.jpg"),
            ("a.jpg", ""),
        ],
    );
    assert!(
        message.contains("line 1: expected a path and a label"),
        "{message}"
    );
}

#[test]
fn class_folders_are_cut_into_halves_or_stay_apart() {
    let together = [
        ("images/b/1.jpg", ""),
        ("images/a/2.JPEG", ""),
        ("images/c/3.png", ""),
        ("images/c/._3.png", ""),
    ];
    assert_eq!(read(&own(), &together), "a: 2.JPEG | b: 1.jpg, c: 3.png");
    let apart = [
        ("train/b/1.jpg", ""),
        ("test/a/2.jpg", ""),
        ("notes.txt", ""),
    ];
    assert_eq!(read(&own(), &apart), "b: 1.jpg | a: 2.jpg");
}

/// Files of these names, all empty.
fn empty<'a>(names: &[&'a str]) -> Vec<(&'a str, &'static str)> {
    names.iter().map(|name| (*name, "")).collect()
}

#[test]
fn halves_are_known_by_their_usual_names_in_any_capitals() {
    let read = |names: &[&str]| read(&own(), &empty(names));
    for [train, test] in [
        ["Train", "TEST"],
        ["training", "testing"],
        ["train", "val"],
        ["TRAIN", "Validation"],
        ["train", "valid"],
    ] {
        let [first, second] = [format!("x/{train}/b/1.jpg"), format!("x/{test}/a/2.jpg")];
        assert_eq!(read(&[&first, &second]), "b: 1.jpg | a: 2.jpg");
    }
    assert_eq!(
        read(&["train/c/1.jpg", "Val/b/2.jpg", "test/a/3.jpg"]),
        "b: 2.jpg, c: 1.jpg | a: 3.jpg"
    );
    let apart = folder(&empty(&[
        "train/c/1.jpg",
        "query/a/2.jpg",
        "gallery/a/3.jpg",
        "gallery/d/4.jpg",
    ]));
    let found = find(&own(), apart.path()).unwrap();
    assert_eq!(summary(&found), "c: 1.jpg | a: 3.jpg 2.jpg, d: 4.jpg");
    let counts = found.listing.counts();
    assert_eq!((counts.queries, counts.references), (1, 2));
}

#[test]
fn folders_in_folders_are_classes_in_super_classes() {
    let names = ["s2/a/1.jpg", "s1/b/2.jpg", "s1/a/3.jpg", "s2/c/4.jpg"];
    assert_eq!(
        read(&own(), &empty(&names)),
        "s1/a: 3.jpg, s1/b: 2.jpg | s2/a: 1.jpg, s2/c: 4.jpg"
    );
    let halves = [
        "train/s1/a/1.jpg",
        "train/s2/a/2.jpg",
        "test/s1/b/3.jpg",
        "test/s3/c/4.jpg",
    ];
    let found = folder(&empty(&halves));
    let found = find(&own(), found.path()).unwrap();
    assert_eq!(
        summary(&found),
        "s1/a: 1.jpg, s2/a: 2.jpg | s1/b: 3.jpg, s3/c: 4.jpg"
    );
    assert_eq!(
        found.listing.test.classes[0].category.as_deref(),
        Some("s1")
    );
}

#[test]
fn images_beside_the_class_folders_change_no_class() {
    let classes = ["x/a/1.jpg", "x/b/2.jpg", "x/c/3.jpg"];
    let expected = "a: 1.jpg | b: 2.jpg, c: 3.jpg";
    for beside in ["x/cover.png", "cover.png", "x/a/thumbs/1.jpg"] {
        assert_eq!(
            read(&own(), &empty(&[&classes[..], &[beside]].concat())),
            expected
        );
    }
    let images = [
        "x/images/a/1.jpg",
        "x/images/b/2.jpg",
        "x/figures/plot.png",
        "x/cover.png",
    ];
    assert_eq!(read(&own(), &empty(&images)), "a: 1.jpg | b: 2.jpg");
}

#[test]
fn folders_whose_meaning_is_unclear_are_refused() {
    let says = |names: &[&str], what: &str| {
        let message = refused(&own(), &empty(names));
        assert!(message.contains(what), "{message}");
    };
    says(
        &["a/1.jpg", "b/c/2.jpg", "b/d/3.jpg"],
        "its images are not all equally deep, as `a/1.jpg` and `b/c/2.jpg`",
    );
    says(
        &["a/cover.jpg", "b/cover.jpg", "a/c/2.jpg", "b/d/3.jpg"],
        "it is unclear which folders are the classes",
    );
    says(
        &["a/b/c/1.jpg", "a/b/d/2.jpg", "e/f/g/3.jpg"],
        "more than two folders deep",
    );
    says(
        &["train/cat.1.jpg", "test/2.jpg"],
        "`test`, `train` are no classes",
    );
    says(
        &["query/a/1.jpg", "gallery/a/2.jpg"],
        "`gallery`, `query` are no classes",
    );
    says(
        &["train/a/1.jpg", "Train/b/2.jpg", "test/c/3.jpg"],
        "says the same; give one of them",
    );
    says(
        &["a/1.jpg", "a/2.jpg"],
        "its images are not in folders of two or more classes",
    );
    says(
        &["train/a/1.jpg", "val/a/2.jpg"],
        "merge the folders of each class",
    );
}

#[test]
fn images_in_no_format_that_is_read_are_called_so() {
    let heic = "\0\0\0\u{18}ftypheic\0\0\0\0mif1heic";
    let message = refused(&own(), &[("a/1.heic", heic), ("b/2", heic)]);
    assert!(
        message.contains("its images are of a format that is not read"),
        "{message}"
    );
}

#[test]
fn one_file_under_two_names_is_refused() {
    for other in ["sub/../1.jpg", "sub/../2.jpg"] {
        let table = format!("path,label,split\n1.jpg,1,train\n2.jpg,2,test\n{other},2,test\n");
        let files = [&IMAGES[..], &[("manifest.csv", &table), ("sub/3.txt", "")]].concat();
        let message = refused(&own(), &files);
        assert!(message.contains("it is the same file as"), "{message}");
    }
}

#[test]
fn pointers_of_git_lfs_are_called_so_and_counted() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    let files = [("a/1.jpg", pointer), ("b/2.jpg", ""), ("b/3.jpg", pointer)];
    let message = refused(&own(), &files);
    assert!(
        message.contains("run `git lfs pull`") && message.contains("1 others"),
        "{message}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder(&[("a/1.jpg", ""), ("b/1.jpg", "")]);
    fs::write(
        folder
            .path()
            .join("a")
            .join(std::ffi::OsStr::from_bytes(b"\xff.jpg")),
        "",
    )
    .unwrap();
    let error = find(&own(), folder.path()).unwrap_err().to_string();
    assert!(error.contains("not valid UTF-8"), "{error}");
}

const IMAGES: [(&str, &str); 4] = [("1.jpg", ""), ("2.jpg", ""), ("3.jpg", ""), ("4.jpg", "")];

fn table(text: &str) -> Vec<(&str, &str)> {
    [&IMAGES[..], &[("manifest.csv", text)]].concat()
}

#[test]
fn a_manifest_has_roles_boxes_and_categories() {
    let text = "path,label,split,is_query,is_gallery,category,x_1,y_1,x_2,y_2,sequence\r\n\
        1.jpg,7,train,,,tools,1,2,30,40,\r\n2.jpg,9,validation,True,False,,,,,,\r\n\
        3.jpg,9,validation,False,True,,0.0,0.0,5.0,6.0,\r\n4.jpg,9,validation,True,True,,nan,nan,nan,nan,\r\n";
    let folder = folder(&table(text));
    let found = find(&own(), folder.path()).unwrap();
    assert_eq!(summary(&found), "tools/7: 1.jpg | 9: 2.jpg 3.jpg 4.jpg");
    assert_eq!(
        found.listing.training.images[0].bounding_box,
        Some([1, 2, 30, 40])
    );
    let test: Vec<_> = found
        .listing
        .test
        .images
        .iter()
        .map(|image| (image.role, image.bounding_box))
        .collect();
    assert_eq!(
        test,
        [
            (Role::Query, None),
            (Role::Gallery, Some([0, 0, 5, 6])),
            (Role::Both, None)
        ]
    );
}

#[test]
fn the_manifests_of_google_landmarks_and_of_dyml_are_read_as_the_documentation_makes_them() {
    // Made by the programs in docs/data.md.
    let landmarks = "path,label\r\n\
        train/6/e/1/6e158a47eb2ca3f6.jpg,142820\r\n\
        train/2/0/2/202cd79556f30760.jpg,104169\r\n\
        train/6/e/1/6e158a47eb2ca3f7.jpg,142820\r\n";
    let files = [
        ("manifest.csv", landmarks),
        ("train/6/e/1/6e158a47eb2ca3f6.jpg", ""),
        ("train/2/0/2/202cd79556f30760.jpg", ""),
        ("train/6/e/1/6e158a47eb2ca3f7.jpg", ""),
        (
            "train.csv",
            "id,url,landmark_id\n6e158a47eb2ca3f6,https://example.org/1,142820\n",
        ),
    ];
    assert_eq!(
        read(&own(), &files),
        "104169: 202cd79556f30760.jpg | 142820: 6e158a47eb2ca3f6.jpg 6e158a47eb2ca3f7.jpg"
    );
    let dyml = "path,label,split,is_query,is_gallery,category,category_2\r\n\
        train/imgs/0.jpg,fine 0,train,,,middle 0,coarse 0\r\n\
        train/imgs/3.jpg,fine 2,train,,,middle 1,coarse 0\r\n\
        bmk_fine/query/0.jpg,test 0,test,True,False,,\r\n\
        bmk_fine/gallery/0.jpg,test 0,test,False,True,,\r\n";
    let root = folder(&[
        ("manifest.csv", dyml),
        ("train/imgs/0.jpg", ""),
        ("train/imgs/3.jpg", ""),
        ("bmk_fine/query/0.jpg", ""),
        ("bmk_fine/gallery/0.jpg", ""),
    ]);
    let found = find(&own(), root.path()).unwrap();
    assert_eq!(
        summary(&found),
        "middle 0/fine 0: 0.jpg, middle 1/fine 2: 3.jpg | test 0: 0.jpg 0.jpg"
    );
    assert_eq!(found.listing.training.classes[0].wider, ["coarse 0"]);
    let roles: Vec<Role> = found
        .listing
        .test
        .images
        .iter()
        .map(|image| image.role)
        .collect();
    assert!(
        roles.contains(&Role::Query) && roles.contains(&Role::Gallery),
        "{roles:?}"
    );
}

#[test]
fn a_manifest_has_levels_of_categories() {
    let text = "path,label,split,category,category_2,category_3\n1.jpg,1,train,crow,bird,\n\
        2.jpg,2,test,tit,bird,animal\n3.jpg,3,test,tit,bird,animal\n4.jpg,4,test,,,\n";
    let listing = find(&own(), folder(&table(text)).path()).unwrap().listing;
    let wider: Vec<String> = listing
        .test
        .classes
        .iter()
        .map(|class| class.wider.join(" < "))
        .collect();
    assert_eq!(wider, ["bird < animal", "bird < animal", ""]);
    assert_eq!(listing.training.classes[0].wider, ["bird"]);
    let says = |rows: &str, what: &str| {
        let text = format!("path,label,category,category_2\n{rows}");
        let message = refused(&own(), &table(&text));
        assert!(message.contains(what), "{message}");
    };
    says(
        "1.jpg,1,,bird\n",
        "line 2: there is the category_2 `bird`, but no category in it",
    );
    says(
        "1.jpg,1,tit,bird\n2.jpg,2,tit,toy\n",
        "lines 2 and 3: the category `tit` lies in `bird` and in `toy`",
    );
    says(
        "1.jpg,1,tit,bird\n2.jpg,1,crow,bird\n",
        "the label `1` has the categories `tit < bird` and `crow < bird`",
    );
}

#[test]
fn a_manifest_has_cameras_or_sequences() {
    let seen = |column: &str| {
        let rows = "1.jpg,1,train,north\n2.jpg,2,test,\n3.jpg,2,test, west \n4.jpg,2,test,north\n";
        let text = format!("path,label,split,{column}\n{rows}");
        let listing = find(&own(), folder(&table(&text)).path()).unwrap().listing;
        let cameras = [&listing.training, &listing.test].map(Part::cameras);
        (cameras, listing.test.queries_with_positive())
    };
    let expected = ([vec![Some(0)], vec![None, Some(0), Some(1)]], 3);
    assert_eq!(seen("camera"), expected);
    assert_eq!(seen("Sequence"), expected);
    assert_eq!(seen("_camera"), ([Vec::new(), Vec::new()], 3));
}

#[test]
fn a_manifest_needs_but_paths_and_labels() {
    let text = "path,label,class_name\n1.jpg,10,ten\n2.jpg,9,nine\n3.jpg,x,ex\n4.jpg,9,nine\n";
    assert_eq!(
        read(&own(), &table(text)),
        "nine: 2.jpg 4.jpg | ten: 1.jpg, ex: 3.jpg"
    );
    let mut elsewhere = table(text);
    elsewhere[4].0 = "deep/labels.csv";
    let moved = text.replace("\n1", "\n../1").replace("\n2", "\n../2");
    let moved = moved.replace("\n3", "\n../3").replace("\n4", "\n../4");
    elsewhere[4].1 = &moved;
    assert!(read(&own(), &elsewhere).starts_with("nine"));
}

#[test]
fn what_is_wrong_with_a_manifest_is_said_with_its_line() {
    let says = |text: &str, what: &str| {
        let message = refused(&own(), &table(text));
        assert!(message.contains(what), "{message}");
    };
    says("path,lable\n1.jpg,1\n", "its column `lable` is none of");
    says("path,split\n1.jpg,train\n", "it has no column `label`");
    says(
        "path,label,split\n1.jpg,1,training\n",
        "line 2: the split `training`",
    );
    says(
        "path,label,split\n1.jpg,1,train\n2.jpg,2,test\n3.jpg,3,validation\n",
        "folds choose",
    );
    says(
        "path,label,split\n1.jpg,1,train\n2.jpg,1,test\n",
        "1 class is in both halves: `1`",
    );
    says(
        "path,label,split,is_query\n1.jpg,1,train,\n2.jpg,2,test,maybe\n",
        "`is_query` is `maybe`",
    );
    says(
        "path,label,split,x_1\n1.jpg,1,train,3\n2.jpg,2,test,\n",
        "line 2: there is no `y_1`, but a part of a box",
    );
    says(
        "path,label,x_1,y_1,x_2,y_2\n1.jpg,1,-3,0,1,1\n",
        "line 2: `x_1` is `-3`, not a number of pixels",
    );
    says(
        "path,label,split\n\n\n1.jpg,1,train\n\n2.jpg,2,\n",
        "line 6: there is no split",
    );
    says(
        "path,label,split\n1.jpg,1,train\n2.jpg,2,test\n3.jpg,3,val\n",
        "line 4: it has rows of `validation` and of `test`",
    );
    says(
        "path,label,class_name\n1.jpg,1,face\n2.jpg,3,mug\n3.jpg,2,face\n",
        "lines 2 and 4: the labels `1` and `2` have the same class name `face`",
    );
    says(
        "path,label,class_name\n1.jpg,1,a\n2.jpg,1,b\n",
        "lines 2 and 3: the label `1` has the class names `a` and `b`",
    );
    says(
        "path,label,category\n1.jpg,1,a\n2.jpg,1,\n",
        "lines 2 and 3: the label `1` has the categories `a` and `(none)`",
    );
    says(
        "path,label,camera,sequence\n1.jpg,1,2,\n",
        "it has the columns `camera` and `sequence`",
    );
    says(
        "path,label,angle\n1.jpg,1,2\n",
        "its column `angle` is none of",
    );
    says("path,Label,label\n1.jpg,1,1\n", "the column `label` twice");
    says(
        "path,label\nD:\\images\\1.jpg,1\n",
        "line 2: `D:\\images\\1.jpg` is a path of another computer",
    );
    says(
        "path,label\n1.jpg,1,2\n",
        "line 2: 3 cells, but the table has 2 columns",
    );
    says("path,label\n1.jpg,\n", "line 2: there is no label");
}

/// The same rows as tables of several programs have them.
#[test]
fn a_manifest_is_read_whatever_program_wrote_it() {
    let expected = "nine: 2.jpg | ten: 1.jpg";
    let rows = "path,label,class_name,split\n1.jpg,10,ten,test\n2.jpg,9,nine,train\n";
    let with = |text: &str| read(&own(), &table(text));
    assert_eq!(with(rows), expected);
    for text in [
        format!("\u{feff}{rows}"),
        rows.replace('\n', "\r\n"),
        rows.replace(',', ";"),
        rows.replace(',', "\t"),
        rows.replace(',', " , "),
        rows.replace("path,label", "\"path\",\"label\""),
        rows.replace("path,label", "Path,LABEL"),
        rows.replace("train", "Train").replace("test", "TEST"),
        rows.replace("test", "val"),
        rows.replace("10,", "10.0,").replace("9,", "9.0,"),
        format!("{rows}\n\n,,,\n   \n"),
        rows.replace("10", "nan"),
        rows.replace("1.jpg", ".\\1.jpg")
            .replace("2.jpg", ".\\2.jpg"),
        rows.replace("1.jpg", "\" 1.jpg \""),
        "path,label,_note,class_name,split\n1.jpg,10,\"a\nb\",ten,test\n2.jpg,9,,nine,train\n"
            .to_owned(),
        ",path,label,class_name,split\n0,1.jpg,10,ten,test\n1,2.jpg,9,nine,train\n".to_owned(),
        "Unnamed: 0,path,label,class_name,split\n0,1.jpg,10,ten,test\n1,2.jpg,9,nine,train\n"
            .to_owned(),
    ] {
        assert_eq!(with(&text), expected, "{text}");
    }
    let tabs = rows.replace(',', "\t");
    let elsewhere = [
        &IMAGES[..],
        &[("labels.TSV", &*tabs), ("notes.csv", "caf\u{e9},1")],
    ]
    .concat();
    assert_eq!(read(&own(), &elsewhere), expected);
}

#[test]
fn names_in_a_manifest_are_taken_as_they_are() {
    let rows = "path,label,split\n\" a.jpg\",nan,train\nb\\c.jpg,None,test\n";
    let files = [("manifest.csv", rows), (" a.jpg", ""), ("b\\c.jpg", "")];
    assert_eq!(read(&own(), &files), "nan:  a.jpg | None: b\\c.jpg");
}

#[test]
fn a_manifest_in_another_encoding_is_named() {
    let refused = |content: &[u8]| {
        let folder = folder(&IMAGES);
        fs::write(folder.path().join("manifest.csv"), content).unwrap();
        find(&own(), folder.path()).unwrap_err().to_string()
    };
    let rows = "path,label\n1.jpg,caf\u{e9}\n";
    let latin: Vec<u8> = rows.chars().map(|letter| letter as u8).collect();
    let message = refused(&latin);
    assert!(
        message.contains("manifest.csv`: line 2: it is not valid UTF-8"),
        "{message}"
    );
    for bytes_of in [u16::to_le_bytes, u16::to_be_bytes] {
        let wide = format!("\u{feff}{rows}");
        let wide: Vec<u8> = wide.encode_utf16().flat_map(bytes_of).collect();
        assert!(refused(&wide).contains("UTF-16"));
        let folder = folder(&IMAGES);
        fs::write(folder.path().join("labels.csv"), &wide).unwrap();
        let error = find(&own(), folder.path()).unwrap_err().to_string();
        assert!(error.contains("labels.csv`: it has zero bytes"), "{error}");
    }
}

#[test]
fn a_file_in_both_halves_is_found_under_every_name() {
    let rows = "path,label,split\n1.jpg,1,train\nx/../1.jpg,2,test\n";
    let mut files = table(rows);
    files.push(("x/y.txt", ""));
    let message = refused(&own(), &files);
    assert!(message.contains("it is the same file as"), "{message}");
}

#[test]
fn the_table_of_a_data_set_gives_back_what_was_found() {
    let root = folder(&IN_SHOP);
    let mut listing = find(&Dataset::InShop, root.path()).unwrap().listing;
    listing.test.images[0].bounding_box = Some([1, 2, 3, 4]);
    let real = root.path().canonicalize().unwrap();
    let table = real.join("listing.csv");
    table::write(&listing, &real, &table).unwrap();
    assert_eq!(table::read(&table).unwrap(), listing);
    let text = fs::read_to_string(&table).unwrap();
    assert!(
        text.contains(
            "\nImg/img/MEN/Shorts/id_2/1.jpg,1,id_2,test,true,false,MEN/Shorts,1,2,3,4\n"
        ),
        "{text}"
    );
}

#[test]
fn a_folder_of_nothing_known_says_what_is_known() {
    let message = refused(&Dataset::Sop, &[("readme.txt", "")]);
    assert!(
        message.contains("Ebay_train.txt") && message.contains("manifest.csv"),
        "{message}"
    );
}

/// A small folder in the layout of a data set's authors.
fn example(dataset: &Dataset) -> TempDir {
    match dataset {
        Dataset::Glyphs(_) | Dataset::Own(_) => folder(&[]),
        Dataset::Omniglot => written(&omniglot(20)),
        Dataset::Cub200 => folder(&CUB),
        Dataset::Cars196 => cars(),
        Dataset::Sop | Dataset::SopHalves => folder(&SOP),
        Dataset::InShop => folder(&IN_SHOP),
        Dataset::Inaturalist2018 => folder(&INATURALIST),
        Dataset::VehicleIdSmall | Dataset::VehicleIdMedium | Dataset::VehicleIdLarge => {
            folder(&VEHICLES)
        }
    }
}

/// Two alphabets with a character each, and another alphabet to test on.
fn omniglot(drawings: usize) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for character in [
        "images_background/Korean/character02",
        "images_background/Early_Aramaic/character01",
        "images_evaluation/Tagalog/character01",
    ] {
        for number in 1..=drawings {
            files.push((format!("{character}/{number:04}.png"), String::new()));
        }
    }
    files
}

fn written(files: &[(String, String)]) -> TempDir {
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_str()))
        .collect();
    folder(&files)
}

#[test]
fn every_data_set_is_read_in_the_layout_of_its_authors() {
    for dataset in Dataset::published() {
        let folder = example(&dataset);
        let found = find(&dataset, folder.path()).unwrap();
        let official = official_layouts(&dataset);
        assert!(official.iter().any(|layout| layout.name == found.layout));
    }
}

#[test]
fn characters_are_classes_in_the_order_of_their_names_with_alphabets_above() {
    let found = find(&Dataset::Omniglot, written(&omniglot(20)).path()).unwrap();
    let training = &found.listing.training;
    let names: Vec<String> = training.classes.iter().map(Class::full_name).collect();
    assert_eq!(names, ["Early_Aramaic/character01", "Korean/character02"]);
    assert_eq!(training.classes[1].category.as_deref(), Some("Korean"));
    assert!(
        training.images[20]
            .path
            .ends_with("Korean/character02/0001.png")
    );
    assert_eq!(found.listing.counts().test_images, 20);
}

#[test]
fn an_incomplete_omniglot_is_refused() {
    let refused = |files: &[(String, String)]| {
        let folder = written(files);
        find(&Dataset::Omniglot, folder.path())
            .unwrap_err()
            .to_string()
    };
    let fewer = refused(&omniglot(19));
    assert!(
        fewer.contains("there are 19 drawings of `Early_Aramaic/character01`, not 20"),
        "{fewer}"
    );
    let half = refused(&omniglot(20)[..40]);
    assert!(
        half.contains("give `images_evaluation.zip` as well"),
        "{half}"
    );
}

#[test]
fn the_real_omniglot_has_the_published_counts() {
    let archives = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/omniglot");
    if !archives.is_dir() {
        eprintln!("skipped: {} is not here", archives.display());
        return;
    }
    let from = ["images_background.zip", "images_evaluation.zip"].map(|name| archives.join(name));
    let folder = tempfile::tempdir().unwrap();
    let request = crate::data::adding::Request {
        dataset: Dataset::Omniglot,
        from: &from,
        into: folder.path(),
        folders: crate::data::adding::Folders::Link,
        other_counts: false,
        skip_broken: false,
        test_fraction: None,
        like: None,
        split: None,
    };
    let added = crate::data::adding::add(&request, &|_, _| ()).unwrap();
    assert_eq!(added.differences, Vec::<String>::new());
    let listing = crate::data::table::read(&folder.path().join("listing.csv")).unwrap();
    assert_eq!(listing.training.classes[0].name, "Balinese/character01");
}
