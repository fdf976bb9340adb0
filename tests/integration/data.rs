//! Data sets of files, with the real trainer: adding, training, measuring.

use std::{fs, path::Path};

use image::{ImageFormat, Luma};

use crate::desk::Desk;

const SWEEP: &str = r#"
[sweep]
name = "small"
seeds = 1
folds = 2

[data]
dataset = "in_shop"
image_size = 16
color = "gray"

[model]
backbone = "conv4"
embedding = 8

[training]
steps = 4
validate_every = 2
sampler.m_per_class = { batch = 8, per_class = 4 }
optimizer.adam = {}

[[method]]
name = "Contrastive"
loss.contrastive = { neg_margin = 0.5 }

[[method]]
name = "Untrained"
baseline = "untrained"

[resources]
device = "cpu"

[report]
metrics = ["recall@1", "map@r"]
"#;

/// Draws a square with a stripe; the number determines its position and brightness.
fn draw(path: &Path, number: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let stripe = u32::from(number) % 16;
    let image = image::GrayImage::from_fn(20, 20, |x, y| {
        Luma([if x == stripe || y > 16 {
            255 - 8 * number
        } else {
            (5 * number).wrapping_add(x as u8)
        }])
    });
    image.save_with_format(path, ImageFormat::Png).unwrap();
}

/// Writes In-Shop in its published layout, with four training and two test articles.
fn in_shop(desk: &Desk) {
    let mut lines = Vec::new();
    let parts = [
        "train",
        "train",
        "train",
        "train",
        "query gallery gallery",
        "gallery query query gallery",
    ];
    for (item, statuses) in parts.into_iter().enumerate() {
        let statuses = if statuses == "train" {
            "train train train"
        } else {
            statuses
        };
        for (number, status) in statuses.split(' ').enumerate() {
            let file = format!("img/WOMEN/Dresses/id_{item}/{number:02}_1_front.jpg");
            draw(
                &desk.path("download/Img").join(&file),
                (4 * item + number) as u8,
            );
            lines.push(format!("{file}    id_{item}    {status}"));
        }
    }
    let header = format!("{}\nimage_name item_id evaluation_status\n", lines.len());
    fs::create_dir_all(desk.path("download/Eval")).unwrap();
    fs::write(
        desk.path("download/Eval/list_eval_partition.txt"),
        header + &lines.join("\n"),
    )
    .unwrap();
}

#[test]
fn in_shop_queries_are_searched_in_the_gallery() {
    let desk = Desk::real(SWEEP);
    in_shop(&desk);
    desk.sweep(&["data", "add", "in_shop", "download"])
        .assert_code(1)
        .assert_says("queries          expected   14218");
    desk.sweep(&["data", "add", "in_shop", "download", "--allow-other-counts"])
        .assert_code(0)
        .assert_says("3 queries, 4 in the gallery");
    desk.run()
        .assert_code(0)
        .assert_says("In-Shop: measured on 2 classes never trained on, 3 queries against 4 images");
    assert!(desk.table().contains("concatenated"), "{}", desk.table());

    let runs = desk.in_runs("queries.csv");
    assert_eq!(runs.len(), 3);
    for (run, queries) in runs {
        let queries = String::from_utf8(queries).unwrap();
        let images: Vec<&str> = queries
            .lines()
            .skip(1)
            .filter_map(|line| line.split(',').next())
            .collect();
        assert_eq!(images, ["0", "4", "5"], "{queries}");
        desk.sweep(&["evaluate", &run, "--metrics", "recall@1,mrr"])
            .assert_code(0)
            .assert_says("3 queries against 4 images");
        desk.sweep(&["neighbors", &run, "--query", "4"])
            .assert_code(0)
            .assert_says("2 of 4 are of its class");
        desk.sweep(&["neighbors", &run, "--query", "3"])
            .assert_code(1)
            .assert_says("image 4 is a query");
    }
}

#[test]
fn a_check_lists_unreadable_and_duplicate_images() {
    let desk = Desk::real(SWEEP);
    in_shop(&desk);
    desk.sweep(&["data", "check", "in_shop"])
        .assert_code(1)
        .assert_says("there is no data set `in_shop` in `data`");
    desk.sweep(&["data", "add", "in_shop", "download", "--allow-other-counts"])
        .assert_code(0);
    desk.sweep(&["data", "check", "in_shop"])
        .assert_code(0)
        .assert_says("  train   12 images of 4 classes, 3 of each\n")
        .assert_says("  test    7 images of 2 classes, 3 to 4 of each, median 3; 3 queries, 4 in the gallery\n")
        .assert_says("  files   19 PNG; 0 in color, 19 gray\n  width   20 pixels\n")
        .assert_says("exactly the same: none\ncannot be read: none\n");

    let image = |item: u32, number: u32| {
        desk.path(&format!(
            "download/Img/img/WOMEN/Dresses/id_{item}/{number:02}_1_front.jpg"
        ))
    };
    fs::copy(image(0, 0), image(4, 0)).unwrap();
    let bytes = fs::read(image(1, 0)).unwrap();
    fs::write(image(1, 0), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(image(1, 1), "").unwrap();
    fs::remove_file(image(5, 3)).unwrap();
    fs::create_dir(image(5, 3)).unwrap();
    let check = desk.sweep(&["data", "check", "in_shop"]).assert_code(1);
    let check = check
        .assert_says("(1 TO TRAIN ON AND TO TEST ON)")
        .assert_says("cannot be read: 3 images");
    let check = check
        .assert_says("3 of 19 images cannot be read")
        .assert_says("it is a folder, not an image");
    check
        .assert_says("id_1/00_1_front.jpg`: it ends too early")
        .assert_says("it is empty");

    let show = desk
        .sweep(&[
            "data",
            "show",
            "in_shop",
            "--split",
            "test",
            "--out",
            "sheet.png",
        ])
        .assert_code(0);
    let show = show
        .assert_says("7 images of 2 classes")
        .assert_says("it is a folder");
    let sheet = image::load_from_memory(&fs::read(show.out.trim_end()).unwrap()).unwrap();
    // One row per class, with space for the names and the four images of the larger class.
    assert_eq!(
        (sheet.width(), sheet.height()),
        (204 + 4 * 106, 6 + 2 * 106)
    );
    desk.sweep(&["data", "list"])
        .assert_code(0)
        .assert_says("in_shop: ")
        .assert_says("glyphs: drawn by the program");
    desk.sweep(&["data", "show", "glyphs"])
        .assert_code(1)
        .assert_says("drawn by the program");
}

/// A sweep on a data set of the user's own.
fn own_sweep() -> String {
    SWEEP.replace(
        "dataset = \"in_shop\"",
        "dataset.own = { name = \"birds\" }",
    )
}

#[test]
fn what_was_left_out_of_a_users_own_data_set_is_in_its_list_and_table() {
    let desk = Desk::real(&own_sweep());
    desk.sweep(&["data", "list"])
        .assert_code(0)
        .assert_says("nothing was added in `data`");
    for class in 0..6 {
        for number in 0..4 {
            let half = if class < 4 { "Train" } else { "Val" };
            draw(
                &desk.path(&format!("birds/{half}/{class}/{number}.png")),
                4 * class + number,
            );
        }
    }
    fs::write(desk.path("birds/Train/0/broken.png"), "<html>").unwrap();
    draw(&desk.path("birds/cover.png"), 0);
    let add = |more: &[&str]| desk.sweep(&[&["data", "add", "birds", "birds"], more].concat());
    add(&[])
        .assert_code(0)
        .assert_says("25 images listed in")
        .assert_says("left aside: 1 image file (.png) in `birds`, not listed: birds/cover.png")
        .assert_says("dataset.own = { name = \"birds\" }");
    add(&["--skip-broken"])
        .assert_code(0)
        .assert_says("24 images decoded and listed")
        .assert_says("left out: 1 broken image: birds/Train/0/broken.png")
        .assert_says("in the place of 25 images");
    desk.sweep(&["data", "list"])
        .assert_code(0)
        .assert_says("left out: 1 broken image");
    desk.sweep(&["data", "check", "birds"])
        .assert_code(0)
        .assert_says("left out: 1 broken image");
    desk.run()
        .assert_code(0)
        .assert_says("birds is without 1 image that cannot be decoded.");
}

#[test]
fn a_sweep_with_nothing_to_find_is_refused_before_it_trains() {
    let desk = Desk::real(&own_sweep());
    for class in 0..8 {
        for number in 0..if class < 4 { 4 } else { 1 } {
            let half = if class < 4 { "train" } else { "test" };
            draw(
                &desk.path(&format!("birds/{half}/{class}/{number}.png")),
                4 * class + number,
            );
        }
    }
    desk.sweep(&["data", "add", "birds", "birds"])
        .assert_code(0)
        .assert_says("4 test classes have a single image")
        .assert_says("nothing can be measured");
    for command in ["check", "plan", "run"] {
        desk.sweep(&[command, "sweep.toml"])
            .assert_code(1)
            .assert_says("there is nothing to measure");
    }
    assert!(!desk.path("results/runs").exists());
}

#[test]
fn classes_are_divided_as_asked_and_a_data_set_is_removed_without_its_files() {
    let desk = Desk::real(SWEEP);
    for class in 0..5 {
        for number in 0..3 {
            let file = format!("mine/class{class}/{number}.png");
            draw(&desk.path(&file), 3 * class + number);
        }
    }
    let add = |name: &str, fraction: &str| {
        let trainer = ["--trainer", desk.trainer()];
        let fraction = ["--test-fraction", fraction];
        desk.sweep(
            &[
                ["data", "add", name, "mine"].as_slice(),
                &fraction,
                &trainer,
            ]
            .concat(),
        )
    };
    add("mine", "0.2")
        .assert_code(0)
        .assert_says("the last 20 % of the classes are tested on")
        .assert_says("train  12 images of 4 classes")
        .assert_says("test   3 images of 1 class");
    add("mine", "0.05")
        .assert_code(1)
        .assert_says("there are no test");
    add("mine", "1.5")
        .assert_code(1)
        .assert_says("expected a number between 0 and 1");
    add("cub200", "0.2")
        .assert_code(1)
        .assert_says("`--test-fraction` is for names of your own");

    desk.sweep(&["data", "remove", "mine"])
        .assert_code(0)
        .assert_says("removed");
    assert!(!desk.path("data/mine").exists());
    assert!(desk.path("mine/class0/0.png").is_file());
    desk.sweep(&["data", "remove", "mine"])
        .assert_code(1)
        .assert_says("nothing is removed");
}
