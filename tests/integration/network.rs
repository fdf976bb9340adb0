//! A trained network leaves the program: exported, or at work on photos that belong to no data set.

use std::{fs, os::unix::fs::symlink};

use image::{GrayImage, Luma};

use crate::desk::{Desk, Done, SMALL};

/// A sweep that the real trainer has run, and a folder of two photos and a broken one.
fn trained() -> Desk {
    let desk = Desk::real(SMALL);
    desk.run().assert_code(0);
    fs::create_dir_all(desk.path("photos/b")).unwrap();
    for (name, level) in [("a.png", 50), ("b/c, d.png", 200)] {
        let mut photo = GrayImage::from_pixel(40, 30, Luma([level]));
        photo.put_pixel(20, 15, Luma([255 - level]));
        photo.save(desk.path("photos").join(name)).unwrap();
    }
    fs::write(desk.path("photos/broken.png"), "no image").unwrap();
    desk
}

impl Desk {
    /// Runs a command on the best network of a method.
    fn with_best(&self, command: &str, arguments: &[&str]) -> Done {
        let best = [command, "best:Triplet"];
        let sweep = ["--sweep", "sweep.toml", "--trainer", self.trainer()];
        self.sweep(&[best.as_slice(), arguments, &sweep].concat())
    }
}

#[test]
fn a_network_is_exported_with_a_card() {
    let desk = trained();
    for name in ["network.safetensors", "network.pt"] {
        desk.with_best("export", &["--into", name])
            .assert_code(0)
            .assert_says("nothing was validated, so the first seed is taken")
            .assert_says("embeddings of 16 numbers");
        assert!(desk.path(name).is_file());
        let card = desk.read("network.md");
        for fact in ["Glyphs", "| MAP@R |", "Divide by 255.", "\"triplet\""] {
            assert!(card.contains(fact), "{fact}\n{card}");
        }
    }
    let card = desk.read("network.md");
    assert!(card.contains("\"network.onnx\", dynamo=False"), "{card}");
    fs::write(desk.path("mine.md"), "my notes").unwrap();
    desk.with_best("export", &["--into", "mine.pt"])
        .assert_code(1)
        .assert_says("`mine.md` exists");
    assert_eq!(desk.read("mine.md"), "my notes");
    assert!(!desk.path("mine.pt").exists());
    desk.with_best("export", &["--into", "network.onnx"])
        .assert_code(1)
        .assert_says("ONNX is not written");
    for name in ["full.safetensors", "full.pt"] {
        symlink("/dev/full", desk.path(&format!("{name}.incomplete"))).unwrap();
        let full = format!(
            "the disk is full: cannot write `{}`",
            desk.path(name).display()
        );
        desk.with_best("export", &["--into", name])
            .assert_code(1)
            .assert_says(&full);
    }
    desk.sweep(&["export", "best:Triplet", "--into", "a.pt"])
        .assert_code(1)
        .assert_says("Name its file with `--sweep FILE`");
}

#[test]
fn photos_of_no_data_set_are_embedded_and_compared() {
    let desk = trained();
    desk.with_best("embed", &["photos", "--into", "photos.npy"])
        .assert_code(1)
        .assert_says("broken.png")
        .assert_says("`--skip-broken` leaves out");
    assert!(!desk.path("photos.npy").exists());
    fs::write(desk.path("mine.csv"), "photo,label\na.png,cat\n").unwrap();
    desk.with_best("embed", &["photos", "--into", "mine.npy"])
        .assert_code(1)
        .assert_says("`mine.csv` exists");
    assert!(!desk.path("mine.npy").exists());
    desk.with_best(
        "embed",
        &["photos", "--into", "photos.npy", "--skip-broken"],
    )
    .assert_code(0)
    .assert_says("left out: ")
    .assert_says("2 photos, 16 numbers each");
    assert_eq!(
        desk.read("photos.csv"),
        "row,path\n0,a.png\n1,\"b/c, d.png\"\n"
    );
    assert_eq!(
        fs::read(desk.path("photos.npy")).unwrap().len(),
        128 + 2 * 16 * 4
    );

    desk.with_best(
        "neighbors",
        &["--image", "photos/a.png", "--count", "3", "--into", "a.png"],
    )
    .assert_code(0)
    .assert_says("    3  test image");
    let picture = image::open(desk.path("a.png")).unwrap();
    assert!(picture.width() > picture.height());
}
