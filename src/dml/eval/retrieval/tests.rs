use rayon::ThreadPoolBuilder;
use serde_json::Value;
use tch::Device;

use super::*;
use crate::{
    eval::ranks::ranks_by,
    processor::Processor,
    random::{Draws, Purpose},
    testing::{golden, noise, tensor, whole},
};

const COMPARISONS: [Comparison; 3] = [Comparison::Cosine, Comparison::Euclidean, Comparison::Dot];

fn rows_of(values: &[f32], width: usize) -> Rows {
    Rows::new(values.to_vec(), width).unwrap()
}

/// Embeddings around the centres of classes of random size, some of them alone, some exact duplicates, and some that
/// differ in the last bit only.
fn adversarial(
    seed: u64,
    images: usize,
    width: usize,
    classes: usize,
    comparison: Comparison,
) -> Labelled {
    let mut draws = Draws::new(seed, Purpose::Weights, 1, 0);
    let centres: Vec<f32> = (0..classes * width)
        .map(|_| draws.normal() as f32)
        .collect();
    let labels: Vec<i64> = (0..images)
        .map(|_| (draws.uniform().powi(2) * classes as f64) as i64)
        .collect();
    let mut values = Vec::<f32>::with_capacity(images * width);
    for (image, &label) in labels.iter().enumerate() {
        let kind = draws.below(10);
        let copied = draws.below(image.max(1)) * width;
        for column in 0..width {
            values.push(match kind {
                0 if image > 0 => values[copied + column],
                1 if image > 0 && column == 0 => values[copied].next_up(),
                1 if image > 0 => values[copied + column],
                _ => centres[label as usize * width + column] + 1.5 * draws.normal() as f32,
            });
        }
    }
    Labelled::new(rows_of(&values, width), labels, comparison).unwrap()
}

/// The ranks by the definition: all similarities, sorted.
fn by_definition(search: Search) -> Vec<Query> {
    let (queries, gallery) = search.sides();
    let mut answered = Vec::new();
    for query in 0..queries.rows.len() {
        let others: Vec<usize> = (0..gallery.rows.len())
            .filter(|&other| Some(other) != search.itself().of(query))
            .collect();
        let similarity = |other: usize| {
            queries
                .comparison
                .similarity(queries.rows.row(query), gallery.rows.row(other))
        };
        let right = |other: usize| gallery.labels[other] == queries.labels[query];
        let ranks = |tie: &dyn Fn(usize) -> (bool, usize)| {
            let mut order: Vec<(f64, usize)> = others
                .iter()
                .map(|&other| (similarity(other), other))
                .collect();
            order.sort_by(|a, b| b.0.total_cmp(&a.0).then(tie(a.1).cmp(&tie(b.1))));
            (1..)
                .zip(order)
                .filter(|(_, (_, other))| right(*other))
                .map(|(rank, _)| rank)
                .collect::<Vec<u32>>()
        };
        let right_answers = others.iter().filter(|other| right(**other)).count();
        if right_answers > 0 {
            let scores = |ranks: Vec<u32>| Scores::of(ranks.into_iter(), right_answers, Depth::All);
            answered.push(Query {
                image: query as u32,
                label: queries.labels[query],
                scores: scores(ranks(&|other| (false, other))),
                optimistic: scores(ranks(&|other| (!right(other), other))),
                pessimistic: scores(ranks(&|other| (right(other), other))),
            });
        }
    }
    answered
}

fn within(images: &Labelled) -> Retrieval {
    retrieve(Search::Within(images), Depth::All, Resources::default()).unwrap()
}

#[test]
fn ranks_are_those_of_a_sort_of_exact_similarities() {
    for (seed, comparison) in (1..).zip(COMPARISONS) {
        for (images, width, classes) in [(450, 5, 30), (300, 33, 4), (230, 2, 90), (40, 1, 3)] {
            let images = adversarial(seed, images, width, classes, comparison);
            let found = within(&images);
            assert_eq!(
                found.queries,
                by_definition(Search::Within(&images)),
                "{comparison:?}"
            );
            assert!(found.duplicates > 0 || images.rows.len() < 100);
        }
    }
}

#[test]
fn a_query_that_is_in_the_gallery_too_does_not_find_itself() {
    for (seed, comparison) in (1..).zip(COMPARISONS) {
        let gallery = adversarial(seed, 430, 6, 25, comparison);
        let searching: Vec<usize> = (0..430).filter(|image| image % 3 > 0).rev().collect();
        let searched: Vec<usize> = (0..430).filter(|image| image % 5 > 0).collect();
        let itself: Vec<Option<u32>> = searching
            .iter()
            .map(|query| {
                searched
                    .iter()
                    .position(|image| image == query)
                    .map(|place| place as u32)
            })
            .collect();
        let (queries, gallery) = (gallery.part(&searching), gallery.part(&searched));
        let search = Search::Overlapping {
            queries: &queries,
            gallery: &gallery,
            itself: &itself,
        };
        for depth in [Depth::Nearest, Depth::All] {
            let found = retrieve(search, depth, Resources::default()).unwrap();
            let first = |queries: &[Query]| {
                queries
                    .iter()
                    .map(|query| query.scores.first)
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                first(&found.queries),
                first(&by_definition(search)),
                "{comparison:?}"
            );
        }
        assert_eq!(
            retrieve(search, Depth::All, Resources::default())
                .unwrap()
                .queries,
            by_definition(search),
            "{comparison:?}"
        );
    }
}

#[test]
fn queries_search_a_gallery_that_is_another_set() {
    for (seed, comparison) in (1..).zip(COMPARISONS) {
        let queries = adversarial(seed, 210, 6, 20, comparison);
        let gallery = adversarial(seed, 430, 6, 25, comparison);
        let search = Search::Between {
            queries: &queries,
            gallery: &gallery,
        };
        assert_eq!(
            retrieve(search, Depth::All, Resources::default())
                .unwrap()
                .queries,
            by_definition(search),
            "{comparison:?}"
        );
        // Some of both are equal: they are other images all the same.
        let search = Search::Between {
            queries: &gallery,
            gallery: &queries,
        };
        assert_eq!(
            retrieve(search, Depth::All, Resources::default())
                .unwrap()
                .queries,
            by_definition(search),
            "{comparison:?}"
        );
    }
}

#[test]
fn less_depth_gives_the_same_values_of_what_it_gives() {
    let images = adversarial(4, 500, 4, 12, Comparison::Cosine);
    let all = within(&images);
    for depth in [Depth::First, Depth::Nearest] {
        let found = retrieve(Search::Within(&images), depth, Resources::default()).unwrap();
        for (found, all) in found.queries.iter().zip(&all.queries) {
            for order in [
                |query: &Query| query.scores,
                |query: &Query| query.optimistic,
                |query: &Query| query.pessimistic,
            ] {
                let (found, all) = (order(found), order(all));
                assert_eq!(found.first, all.first);
                assert_eq!(found.ap, None);
                if depth == Depth::Nearest {
                    assert_eq!(
                        (found.r_precision, found.ap_at_r),
                        (all.r_precision, all.ap_at_r)
                    );
                } else {
                    assert_eq!((found.r_precision, found.ap_at_r), (None, None));
                }
            }
        }
    }
}

#[test]
fn neither_the_budget_nor_the_number_of_threads_changes_a_result() {
    for comparison in COMPARISONS {
        let images = adversarial(5, 900, 7, 40, comparison);
        for depth in [Depth::First, Depth::Nearest, Depth::All] {
            let expected = retrieve(Search::Within(&images), depth, Resources::default()).unwrap();
            for (threads, budget) in [(1, 1 << 30), (3, 0), (2, 40_000), (1, 1)] {
                let pool = ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                let found = pool.install(|| {
                    retrieve(
                        Search::Within(&images),
                        depth,
                        Resources {
                            budget,
                            ..Resources::default()
                        },
                    )
                    .unwrap()
                });
                assert_eq!(found, expected, "{threads} threads, {budget} bytes");
            }
        }
    }
}

#[test]
fn no_kind_of_processor_changes_a_result() {
    for comparison in COMPARISONS {
        let images = adversarial(6, 400, 19, 25, comparison);
        let expected = by_definition(Search::Within(&images));
        let (classes, twins) = (
            Classes::new(&images.labels, &images.labels),
            twins(&images.rows),
        );
        let comparing = Comparing {
            queries: &images.rows,
            references: &images.rows,
            comparison,
            itself: Itself::AtItsIndex,
            classes: &classes,
            twins: &twins,
        };
        for processor in Processor::available() {
            let mut found = Vec::new();
            ranks_by(
                &comparing,
                Depth::All,
                Resources::default().budget,
                processor,
                |query, ranks| {
                    let right_answers = comparing.right_answers(query);
                    if right_answers > 0 {
                        found.push(Query::of(
                            query,
                            images.labels[query],
                            ranks,
                            right_answers,
                            Depth::All,
                        ));
                    }
                },
            );
            assert_eq!(found, expected, "{processor:?}, {comparison:?}");
        }
    }
}

/// Demands that libtorch finds the same, with much and with little room on its device.
fn demand_the_same_of_libtorch(search: Search, what: &str) {
    for depth in [Depth::First, Depth::Nearest, Depth::All] {
        let expected = retrieve(search, depth, Resources::default()).unwrap();
        for (budget, device_budget) in [(1 << 28, 1 << 30), (0, 0), (1 << 14, 1 << 20)] {
            let resources = Resources {
                device: Device::Cpu,
                budget,
                device_budget,
            };
            let found = retrieve_by(search, depth, resources, true).unwrap();
            assert_eq!(found, expected, "{what}, {depth:?}, {resources:?}");
        }
    }
}

#[test]
fn libtorch_finds_the_same_to_the_last_bit() {
    for (seed, comparison) in (20..).zip(COMPARISONS) {
        let of = |values: Vec<f32>, width, labels: &[i64]| {
            Labelled::new(rows_of(&values, width), labels.to_vec(), comparison).unwrap()
        };
        let images = adversarial(seed, 300, 7, 25, Comparison::Dot);
        let (values, labels) = (images.rows.values(), &images.labels);
        let changed = |change: &dyn Fn(usize, f32) -> f32| {
            of(
                values
                    .iter()
                    .enumerate()
                    .map(|(place, &value)| change(place / 7, value))
                    .collect(),
                7,
                labels,
            )
        };
        for (images, what) in [
            (adversarial(seed, 500, 6, 30, comparison), "duplicates"),
            (adversarial(seed, 290, 33, 3, comparison), "large classes"),
            (adversarial(seed, 300, 1, 200, comparison), "many alone"),
            (changed(&|_, value| value.round()), "rounded"),
            (
                changed(&|image, value| if image == 77 { 1e6 * value } else { value }),
                "a long one",
            ),
            (
                changed(&|image, value| if image % 3 == 0 { 0.0 } else { value }),
                "many zeros",
            ),
            (changed(&|_, value| value + 1000.0), "far from the origin"),
            (changed(&|_, value| 1.0 + 1e-6 * value), "nearly one point"),
            (changed(&|_, _| 1.0), "one point"),
            (changed(&|_, value| 1e-30 * value), "tiny"),
            (changed(&|_, value| 1e18 * value), "huge"),
        ] {
            demand_the_same_of_libtorch(
                Search::Within(&images),
                &format!("{what}, {comparison:?}"),
            );
        }
    }
}

#[test]
fn libtorch_searches_a_gallery_in_the_same_way() {
    for (seed, comparison) in (30..).zip(COMPARISONS) {
        let (queries, gallery) = (
            adversarial(seed, 210, 6, 20, comparison),
            adversarial(seed, 430, 6, 25, comparison),
        );
        let search = Search::Between {
            queries: &queries,
            gallery: &gallery,
        };
        demand_the_same_of_libtorch(search, &format!("{comparison:?}"));
        let searching: Vec<usize> = (0..430).filter(|image| image % 3 > 0).rev().collect();
        let searched: Vec<usize> = (0..430).filter(|image| image % 5 > 0).collect();
        let place = |query| searched.binary_search(query).ok().map(|place| place as u32);
        let itself: Vec<Option<u32>> = searching.iter().map(place).collect();
        let (queries, gallery) = (gallery.part(&searching), gallery.part(&searched));
        let search = Search::Overlapping {
            queries: &queries,
            gallery: &gallery,
            itself: &itself,
        };
        demand_the_same_of_libtorch(search, &format!("overlapping, {comparison:?}"));
    }
}

#[test]
fn the_order_of_the_images_changes_nothing_but_ties() {
    let images = adversarial(7, 500, 6, 30, Comparison::Cosine);
    let mut order: Vec<usize> = (0..500).collect();
    Draws::new(1, Purpose::Batch, 0, 0).choose(&mut order, 500);
    let values: Vec<f32> = order
        .iter()
        .flat_map(|&image| images.rows.row(image))
        .copied()
        .collect();
    let labels = order.iter().map(|&image| images.labels[image]).collect();
    // They are normalised already: doing that again could change the last bit.
    let shuffled = Labelled {
        rows: rows_of(&values, 6),
        labels,
        comparison: Comparison::Cosine,
    };
    let (found, expected) = (within(&shuffled), within(&images));
    assert!(expected.has_ties());
    for query in &found.queries {
        let same = expected
            .queries
            .iter()
            .find(|other| other.image as usize == order[query.image as usize])
            .unwrap();
        assert_eq!(
            (query.optimistic, query.pessimistic),
            (same.optimistic, same.pessimistic)
        );
        if query.optimistic == query.pessimistic {
            assert_eq!(query.scores, same.scores);
        }
    }
}

#[test]
fn lengths_of_any_size_are_compared_exactly() {
    for (factor, comparison) in [1e-30, 1e-10, 1e18]
        .into_iter()
        .flat_map(|factor| COMPARISONS.map(|how| (factor, how)))
    {
        let images = adversarial(8, 250, 5, 20, Comparison::Dot);
        let values: Vec<f32> = images
            .rows
            .values()
            .iter()
            .map(|value| value * factor)
            .collect();
        let images = Labelled::new(rows_of(&values, 5), images.labels, comparison).unwrap();
        assert_eq!(
            within(&images).queries,
            by_definition(Search::Within(&images)),
            "{factor:e} {comparison:?}"
        );
    }
}

#[test]
fn clouds_far_from_the_origin_are_compared_exactly() {
    let images = adversarial(9, 300, 8, 20, Comparison::Dot);
    let values: Vec<f32> = images
        .rows
        .values()
        .iter()
        .map(|value| value + 1000.0)
        .collect();
    for comparison in COMPARISONS {
        let images = Labelled::new(rows_of(&values, 8), images.labels.clone(), comparison).unwrap();
        assert_eq!(
            within(&images).queries,
            by_definition(Search::Within(&images)),
            "{comparison:?}"
        );
    }
}

#[test]
fn embeddings_that_all_but_coincide_are_compared_exactly() {
    let images = adversarial(10, 300, 8, 20, Comparison::Dot);
    for nearness in [1e2, 1e4, 1e6] {
        let near =
            |(place, value): (usize, &f32)| value + if place % 8 == 3 { nearness } else { 0.0 };
        let values: Vec<f32> = images.rows.values().iter().enumerate().map(near).collect();
        for comparison in COMPARISONS {
            let images =
                Labelled::new(rows_of(&values, 8), images.labels.clone(), comparison).unwrap();
            assert_eq!(
                within(&images).queries,
                by_definition(Search::Within(&images)),
                "{comparison:?} {nearness}"
            );
        }
    }
}

/// The scores of a query with ten right answers at these ranks.
fn of_ten(ranks: &[u32]) -> Scores {
    Scores::of(ranks.iter().copied(), 10, Depth::All)
}

#[test]
fn the_worked_examples_of_the_paper_come_out() {
    let cases: [(&[u32], f64, f64); 5] = [
        (&[1], 0.1, 0.1),
        (&[1, 10], 0.2, 0.12),
        (&[1, 2], 0.2, 0.2),
        (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 1.0, 1.0),
        (&[11, 12, 13, 14, 15, 16, 17, 18, 19, 20], 0.0, 0.0),
    ];
    for (ranks, r_precision, ap_at_r) in cases {
        let found = of_ten(ranks);
        assert!(
            (found.r_precision.unwrap() - r_precision).abs() < 1e-15,
            "{ranks:?}"
        );
        assert!(
            (found.ap_at_r.unwrap() - ap_at_r).abs() < 1e-15,
            "{ranks:?}"
        );
        assert_eq!(found.recall(1), f64::from(ranks[0] == 1));
    }
}

#[test]
fn recall_counts_the_first_right_answer_within_k() {
    let recalls = |ranks: &[u32]| [1, 2, 20].map(|k| of_ten(ranks).recall(k));
    assert_eq!(recalls(&[1, 5]), [1.0, 1.0, 1.0]);
    assert_eq!(recalls(&[2]), [0.0, 1.0, 1.0]);
    assert_eq!(recalls(&[20]), [0.0, 0.0, 1.0]);
    assert_eq!(recalls(&[21]), [0.0, 0.0, 0.0]);
}

#[test]
fn metrics_are_those_of_the_reference() {
    let golden = golden(include_str!("../testdata/retrieval.json"));
    for case in golden["cases"].as_array().unwrap() {
        let labelled = |embeddings: &str, labels: &str| {
            let rows = Rows::from_tensor(&tensor(&case[embeddings])).unwrap();
            Labelled::new(rows, whole(&case[labels]), comparison(&case["comparison"])).unwrap()
        };
        let gallery = labelled("embeddings", "labels");
        let queries = (!case["queries"].is_null()).then(|| labelled("queries", "query_labels"));
        let shared: Vec<usize> = (0..case["shared"].as_u64().unwrap_or(0) as usize).collect();
        let itself: Vec<Option<u32>> = shared.iter().map(|&place| Some(place as u32)).collect();
        let part = gallery.part(&shared);
        let search = match &queries {
            Some(queries) => Search::Between {
                queries,
                gallery: &gallery,
            },
            None if !shared.is_empty() => Search::Overlapping {
                queries: &part,
                gallery: &gallery,
                itself: &itself,
            },
            None => Search::Within(&gallery),
        };
        let found = retrieve(search, Depth::All, Resources::default()).unwrap();
        let agree = |value: f64, name: &str| {
            let expected = case["expected"][name].as_f64().unwrap();
            assert!(
                (value - expected).abs() < 1e-9,
                "{} {name}: {value}, not {expected}",
                case["name"]
            );
        };
        agree(found.precision_at_1(), "precision_at_1");
        agree(found.r_precision(), "r_precision");
        agree(found.map_at_r(), "mean_average_precision_at_r");
        agree(found.map(), "mean_average_precision");
        agree(found.mrr(), "mean_reciprocal_rank");
        for (k, expected) in case["expected"]["recall"].as_object().unwrap() {
            assert_eq!(
                found.recall(k.parse().unwrap()),
                expected.as_f64().unwrap(),
                "{} recall@{k}",
                case["name"]
            );
        }
        assert_eq!(
            found.lone as i64,
            case["expected"]["lone"].as_i64().unwrap()
        );
    }
}

fn comparison(name: &Value) -> Comparison {
    match name.as_str().unwrap() {
        "cosine" => Comparison::Cosine,
        "euclidean" => Comparison::Euclidean,
        _ => Comparison::Dot,
    }
}

#[test]
fn a_collapsed_embedding_scores_as_badly_as_it_should() {
    // Ten classes of four, in order of class: by index, the nearest of every image are images 0 to 3.
    let labels: Vec<i64> = (0..40).map(|image| image / 4).collect();
    let one_point = Rows::from_tensor(&noise(1, 1, 64).repeat([40, 1])).unwrap();
    for (rows, mean_cosine) in [
        (rows_of(&[1.0; 320], 8), 1.0),
        (rows_of(&[0.0; 320], 8), 1.0),
        (one_point, 1.0),
    ] {
        let found = within(&Labelled::new(rows, labels.clone(), Comparison::Cosine).unwrap());
        assert!((found.precision_at_1() - 0.1).abs() < 1e-12, "{found:?}");
        assert!(found.map_at_r() < 0.15, "{found:?}");
        assert_eq!((found.duplicates, found.has_ties()), (39, true));
        assert!((found.mean_cosine - mean_cosine).abs() < 1e-6);
        // A program that lets the right answers win ties says 100 %, one that lets them lose says 0 %.
        let mean = |order: Order| found.mean(|query| order(query).recall(1));
        assert_eq!(
            (
                mean(|query| &query.optimistic),
                mean(|query| &query.pessimistic)
            ),
            (1.0, 0.0)
        );
    }
}

#[test]
fn perfect_embeddings_score_one_hundred_percent() {
    let labels = vec![0i64, 1, 2, 0, 1, 2, 0, 1];
    let values: Vec<f32> = labels
        .iter()
        .flat_map(|&label| [0, 1, 2].map(|class| f32::from(u8::from(label == class))))
        .collect();
    let found = within(&Labelled::new(rows_of(&values, 3), labels, Comparison::Cosine).unwrap());
    assert_eq!(
        (found.recall(1), found.r_precision(), found.map_at_r()),
        (1.0, 1.0, 1.0)
    );
    assert_eq!(
        (found.map(), found.mrr(), found.queries.len(), found.lone),
        (1.0, 1.0, 8, 0)
    );
}

#[test]
fn an_image_alone_in_its_class_is_no_query_but_a_wrong_answer() {
    let rows = rows_of(&[1.0, 0.0, 0.9, 0.5, 0.95, 0.2], 2);
    let found = within(&Labelled::new(rows, vec![4, 4, 9], Comparison::Cosine).unwrap());
    assert_eq!((found.queries.len(), found.lone), (2, 1));
    assert_eq!((found.recall(1), found.recall(2)), (0.0, 1.0));
    assert_eq!(
        found.by_label(|query| query.scores.recall(2)),
        BTreeMap::from([(4, 1.0)])
    );
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let rows = || rows_of(&[1.0, 0.0, 0.5, 0.5, 0.0, 1.0], 2);
    let labelled = |labels: &[i64]| Labelled::new(rows(), labels.to_vec(), Comparison::Cosine);
    assert_eq!(
        labelled(&[0, 1]).unwrap_err(),
        EvalError::Labels {
            embeddings: 3,
            labels: 2
        }
    );
    let images = labelled(&[0, 1, 2]).unwrap();
    assert_eq!(
        retrieve(Search::Within(&images), Depth::All, Resources::default()).unwrap_err(),
        EvalError::NoQueries
    );
    let wide = Labelled::new(rows_of(&[1.0; 3], 3), vec![0], Comparison::Cosine).unwrap();
    let search = Search::Between {
        queries: &wide,
        gallery: &images,
    };
    assert_eq!(
        retrieve(search, Depth::All, Resources::default()).unwrap_err(),
        EvalError::Widths {
            queries: 3,
            references: 2
        }
    );
    for wrong in [f32::NAN, f32::INFINITY] {
        let mut values = vec![1.0; 40_000];
        values[30_007] = wrong;
        assert_eq!(
            Rows::new(values, 4).unwrap_err(),
            EvalError::NotFinite { image: 7501 }
        );
    }
}
