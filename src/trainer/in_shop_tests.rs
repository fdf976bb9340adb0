//! Queries and a gallery: a made-up In-Shop, from its list to the scores.
//!
//! An image is light on its left and right half as the cosine and the sine of an angle, so that the similarity of two
//! images, as pixels, is that of their angles, and neighbours can be told by hand.

use image::GrayImage;
use schema::{EnsembleWork, NeighboursWork, TestImage};

use super::*;

/// Article, status and angle in degrees; in the order of articles and names.
const TEST: [(&str, &str, f64); 9] = [
    ("id_1", "gallery", 12.0),
    ("id_1", "query", 10.0),
    ("id_1", "gallery", 30.0),
    ("id_2", "query", 50.0),
    ("id_2", "gallery", 48.0),
    ("id_2", "gallery", 14.0),
    ("id_2", "query", 28.0),
    ("id_3", "query", 47.0),
    ("id_3", "gallery", 60.0),
];

/// The same image as that in the file of an angle, in the article's folder.
fn draw(folder: &Path, file: &str, angle: f64, side: u32) {
    let (right, left) = angle.to_radians().sin_cos();
    let image = GrayImage::from_fn(side, side, |x, _| {
        image::Luma([(250.0 * if x < side / 2 { left } else { right }).round() as u8])
    });
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image
        .save_with_format(path, image::ImageFormat::Png)
        .unwrap();
}

/// Writes the data set as it is downloaded: six articles to train on with one to four images, three to test on.
fn write(folder: &Path) {
    let mut lines = Vec::new();
    let mut add = |item: &str, number: usize, status: &str, angle: f64| {
        let kind = if item.ends_with(['1', '3', '5']) {
            "MEN/Shorts"
        } else {
            "WOMEN/Dresses"
        };
        let file = format!("img/{kind}/{item}/{number:02}_1_front.jpg");
        draw(&folder.join("Img"), &file, angle, 16);
        lines.push(format!("{file}      {item}     {status}"));
    };
    for item in 0..6 {
        (0..[4, 4, 1, 4, 4, 4][item]).for_each(|number| {
            add(
                &format!("id_{}", item + 10),
                number,
                "train",
                (15 * item + 2 * number) as f64,
            );
        });
    }
    for (number, (item, status, angle)) in TEST.into_iter().enumerate() {
        add(item, number, status, angle);
    }
    let header = format!("{}\nimage_name item_id evaluation_status\n", lines.len());
    fs::create_dir_all(folder.join("Eval")).unwrap();
    fs::write(
        folder.join("Eval/list_eval_partition.txt"),
        header + &lines.join("\n"),
    )
    .unwrap();
}

/// A made-up In-Shop, added and prepared.
pub(super) fn place(recipe: Recipe) -> Place {
    tch::set_num_threads(1);
    let place = Place {
        folder: tempfile::tempdir().unwrap(),
        recipe: Recipe {
            dataset: Dataset::InShop,
            ..recipe
        },
    };
    write(&place.run("download"));
    let into = place.run("in_shop");
    let import = ImportWork {
        dataset: Dataset::InShop,
        from: vec![place.run("download")],
        into: into.clone(),
        copy: false,
        allow_other_counts: true,
        skip_broken: false,
        test_fraction: None,
        like: None,
        split: None,
    };
    assert_eq!(
        place.attempt(Work::Import(import)),
        Ok(End::Finished(Finished::Imported(Imported { images: 30 })))
    );
    prepare(&place, into);
    place
}

fn prepare(place: &Place, source: PathBuf) {
    let Work::Prepare(work) = place.prepare() else {
        panic!("a preparation")
    };
    place
        .attempt(Work::Prepare(PrepareWork {
            fingerprint: fingerprint_of(&work.dataset, &source),
            source: Some(source),
            ..work
        }))
        .unwrap();
}

fn pixels() -> Recipe {
    Recipe {
        model: Model::new(Backbone::Pixels, None),
        training: None,
        ..tiny()
    }
}

/// Of the gallery at 12, 30 (id_1), 48, 14 (id_2) and 60 degrees (id_3), nearest first: 10 finds id_1 at ranks 1 and
/// 3; 50 finds id_2 at 1 and 4; 28 finds id_2 at 2 and 4; 47 finds id_3 at 2.
fn is_as_by_hand(evaluated: &Evaluated) {
    assert_eq!(
        (
            evaluated.classes,
            evaluated.images,
            evaluated.gallery,
            evaluated.without_positive
        ),
        (3, 4, Some(5), 0)
    );
    let expected = [
        (Metric::RecallAt(1), 0.5),
        (Metric::RecallAt(4), 1.0),
        (Metric::PrecisionAt1, 0.5),
        (Metric::RPrecision, 0.375),
        (Metric::MapAtR, 0.3125),
    ];
    assert_eq!(evaluated.scores, expected.into_iter().collect());
}

#[test]
fn queries_are_searched_for_in_the_gallery_alone() {
    let place = place(pixels());
    place.trained("run");
    is_as_by_hand(&place.evaluated("run"));
    // Numbers are those of the list of test images: queries keep theirs.
    let queries = fs::read_to_string(place.run("run").join("queries.csv")).unwrap();
    let first: Vec<_> = queries
        .lines()
        .skip(1)
        .map(|line| line.split(',').take(3).collect::<Vec<_>>())
        .collect();
    assert_eq!(
        first,
        [
            ["1", "0", "1"],
            ["3", "1", "1"],
            ["6", "1", "2"],
            ["7", "2", "2"]
        ]
    );
    // From kept embeddings the same comes out.
    is_as_by_hand(&place.evaluated("run"));
}

#[test]
fn an_ensemble_searches_the_gallery_too() {
    let place = place(pixels());
    place.trained("one");
    place.trained("two");
    fs::create_dir(place.run("both")).unwrap();
    let members = ["one", "two"]
        .map(|name| (place.recipe.clone(), place.run(name)))
        .to_vec();
    let work = EnsembleWork {
        members,
        data: place.data(),
        into: place.run("both"),
        metrics: METRICS.to_vec(),
    };
    let End::Finished(Finished::Evaluated(evaluated)) =
        place.attempt(Work::Ensemble(work)).unwrap()
    else {
        panic!()
    };
    is_as_by_hand(&evaluated);
    assert_eq!(
        fs::read_to_string(place.run("both/queries.csv"))
            .unwrap()
            .lines()
            .count(),
        5
    );
}

#[test]
fn neighbours_of_a_query_are_of_the_gallery() {
    let place = place(pixels());
    place.trained("run");
    let neighbours = |query, count| {
        let (recipe, data, run, into) = (
            place.recipe.clone(),
            place.data(),
            place.run("run"),
            place.run("picture.png"),
        );
        place.attempt(Work::Neighbours(NeighboursWork {
            recipe,
            data,
            run,
            query: TestImage::Index(query),
            count,
            into,
        }))
    };
    let drawn = |query, count| match neighbours(query, count) {
        Ok(End::Finished(Finished::Drawn(drawn))) => drawn,
        other => panic!("{other:?}"),
    };
    let one = drawn(1, 3);
    assert_eq!((one.correct, one.count, one.images.len()), (2, 3, 4));
    assert_eq!(one.images[0].index, 1);
    let other = drawn(7, 100);
    assert_eq!((other.correct, other.count), (1, 5));
    let refused = neighbours(4, 3).unwrap_err();
    assert!(
        refused
            .message
            .contains("image 4 is a gallery image and no query"),
        "{refused:?}"
    );
    assert!(
        refused.message.ends_with("image 6 is a query"),
        "{refused:?}"
    );
}

#[test]
fn a_fold_of_the_training_classes_is_searched_within() {
    let recipe = changed(stateful(), |_, training| {
        training.sampler = Sampler::MPerClass(MPerClass {
            batch: 4,
            per_class: 2,
        });
        training.memory = None;
        training.steps = 2;
        training.validate_every = Some(1);
    });
    // The last third of six classes: eight images, each against all the others.
    let place = place(Recipe {
        fold: Some(Fold {
            index: 2,
            of: 3,
            cut: Cut::Even,
        }),
        ..recipe
    });
    let mut validations = 0;
    let end = place.listen(
        place.train("run", f64::INFINITY),
        &Stop::new(),
        &mut |event| {
            validations += u32::from(matches!(event, Event::Scores { .. }));
        },
    );
    let kept = trained(end).validation.unwrap();
    assert!(validations == 3 && kept[&Metric::MapAtR] > 0.0, "{kept:?}");
    assert_eq!(place.evaluated("run").gallery, Some(5));
}

#[test]
fn a_table_says_who_is_searched_for_and_an_image_can_be_both() {
    let place = Place {
        folder: tempfile::tempdir().unwrap(),
        recipe: pixels(),
    };
    let folder = place.run("own");
    // At 0 degrees a query that is also in the gallery, at 8 a query, at 20 and 24 the gallery.
    let rows = [
        ("a", 0.0, "train,,"),
        ("b", 0.0, "test,1,1"),
        ("b", 8.0, "test,1,0"),
        ("c", 20.0, "test,0,1"),
    ];
    let rows = [
        &rows[..],
        &[("b", 24.0, "test,False,True"), ("c", 60.0, "test,True,")],
    ]
    .concat();
    let mut table = "path,label,split,is_query,is_gallery\n".to_owned();
    for (number, (label, angle, rest)) in rows.into_iter().enumerate() {
        draw(&folder, &format!("{number}.png"), angle, 16);
        table += &format!("{number}.png,{label},{rest}\n");
    }
    fs::write(folder.join("manifest.csv"), table).unwrap();
    let place = Place {
        recipe: Recipe {
            dataset: Dataset::Own(Own {
                name: "own".to_owned(),
            }),
            ..pixels()
        },
        ..place
    };
    let (dataset, into) = (place.recipe.dataset.clone(), place.run("added"));
    let import = ImportWork {
        dataset,
        from: vec![folder],
        into: into.clone(),
        copy: false,
        allow_other_counts: false,
        skip_broken: false,
        test_fraction: None,
        like: None,
        split: None,
    };
    place.attempt(Work::Import(import)).unwrap();
    prepare(&place, into);
    place.trained("run");
    let evaluated = place.evaluated("run");
    // 0 finds c at 20, then b at 24, not itself; 8 finds b at 0 first; 60 finds b at 24, then c at 20.
    assert_eq!(
        (
            evaluated.images,
            evaluated.gallery,
            evaluated.without_positive
        ),
        (3, Some(3), 0)
    );
    let queries = fs::read_to_string(place.run("run").join("queries.csv")).unwrap();
    let rows: Vec<_> = queries
        .lines()
        .skip(1)
        .map(|line| line.split(',').take(3).collect::<Vec<_>>())
        .collect();
    assert_eq!(
        rows,
        [["0", "0", "2"], ["1", "0", "1"], ["4", "1", "2"]],
        "{queries}"
    );
}
