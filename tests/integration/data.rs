//! Data sets of files: added, trained on and measured by the real trainer.

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
colour = "grey"

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

/// A square with a stripe; its number says where and how light.
fn draw(path: &Path, number: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let stripe = u32::from(number) % 16;
    let image = image::GrayImage::from_fn(20, 20, |x, y| {
        Luma([if x == stripe || y > 16 { 255 - 8 * number } else { (5 * number).wrapping_add(x as u8) }])
    });
    image.save_with_format(path, ImageFormat::Png).unwrap();
}

/// In-Shop as it is downloaded, but with four articles to train on and two to test on.
fn in_shop(desk: &Desk) {
    let mut lines = Vec::new();
    let parts = ["train", "train", "train", "train", "query gallery gallery", "gallery query query gallery"];
    for (item, statuses) in parts.into_iter().enumerate() {
        let statuses = if statuses == "train" { "train train train" } else { statuses };
        for (number, status) in statuses.split(' ').enumerate() {
            let file = format!("img/WOMEN/Dresses/id_{item}/{number:02}_1_front.jpg");
            draw(&desk.path("download/Img").join(&file), (4 * item + number) as u8);
            lines.push(format!("{file}    id_{item}    {status}"));
        }
    }
    let header = format!("{}\nimage_name item_id evaluation_status\n", lines.len());
    fs::create_dir_all(desk.path("download/Eval")).unwrap();
    fs::write(desk.path("download/Eval/list_eval_partition.txt"), header + &lines.join("\n")).unwrap();
}

#[test]
fn clothes_are_added_trained_on_and_searched_for_in_their_gallery() {
    let desk = Desk::real(SWEEP);
    in_shop(&desk);
    desk.sweep(&["data", "add", "in_shop", "download"]).assert_code(1).assert_says("queries          expected   14218");
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
        let images: Vec<&str> = queries.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
        assert_eq!(images, ["0", "4", "5"], "{queries}");
        desk.sweep(&["evaluate", &run, "--metrics", "recall@1,mrr"])
            .assert_code(0)
            .assert_says("3 queries against 4 images");
        desk.sweep(&["neighbours", &run, "--query", "4"]).assert_code(0).assert_says("2 of 4 are of its class");
        desk.sweep(&["neighbours", &run, "--query", "3"]).assert_code(1).assert_says("image 4 is a query");
    }
}
