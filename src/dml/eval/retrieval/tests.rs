use std::sync::atomic::{AtomicBool, Ordering};

use rayon::ThreadPoolBuilder;
use serde_json::Value;
use tch::Device;

use super::*;
use crate::{
    eval::{Comparison, LabeledEmbeddings, StopFlag, cluster, nearest, similarity},
    random::{Draws, Purpose},
    testing::{golden, integers, noise, tensor},
};

const COMPARISONS: [Comparison; 3] = [Comparison::Cosine, Comparison::Euclidean, Comparison::Dot];

fn rows_of(values: &[f32], width: usize) -> Embeddings {
    Embeddings::new(values.to_vec(), width).unwrap()
}

/// Embeddings around the centres of classes of random size, some of them alone, some exact duplicates, and some that
/// differ in the last bit only.
fn adversarial(
    seed: u64,
    images: usize,
    width: usize,
    classes: usize,
    comparison: Comparison,
) -> LabeledEmbeddings {
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
    LabeledEmbeddings::new(rows_of(&values, width), labels, comparison).unwrap()
}

/// True if a gallery image is of the query's class and from its camera.
fn is_left_out(task: RetrievalTask, query: usize, other: usize) -> bool {
    let is_class = task.queries().labels()[query] == task.gallery().labels()[other];
    let cameras = task.cameras();
    is_class && cameras.is_some_and(|cameras| cameras.are_one(query, other))
}

/// Returns the results by the definition: all similarities, sorted.
fn by_definition(task: RetrievalTask) -> Vec<QueryResult> {
    let (queries, gallery) = (task.queries(), task.gallery());
    let mut results = Vec::new();
    for query in 0..queries.rows().len() {
        let others: Vec<usize> = (0..gallery.rows().len())
            .filter(|&other| Some(other) != task.self_match().of(query))
            .filter(|&other| !is_left_out(task, query, other))
            .collect();
        let row = queries.rows().row(query);
        let similarity =
            |other: usize| similarity(queries.comparison(), row, gallery.rows().row(other));
        let right = |other: usize| gallery.labels()[other] == queries.labels()[query];
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
        let positives = others.iter().filter(|other| right(**other)).count();
        if positives > 0 {
            let scores =
                |ranks: Vec<u32>| QueryScores::new(ranks.into_iter(), positives, RankDepth::All);
            results.push(QueryResult {
                image: query as u32,
                label: queries.labels()[query],
                scores: scores(ranks(&|other| (false, other))),
                optimistic: scores(ranks(&|other| (!right(other), other))),
                pessimistic: scores(ranks(&|other| (right(other), other))),
            });
        }
    }
    results
}

fn within(images: &LabeledEmbeddings) -> Retrieval {
    retrieve(
        RetrievalTask::Within(images),
        RankDepth::All,
        EvalResources::default(),
    )
    .unwrap()
}

#[test]
fn ranks_are_those_of_a_sort_of_exact_similarities() {
    for (seed, comparison) in (1..).zip(COMPARISONS) {
        for (images, width, classes) in [(450, 5, 30), (300, 33, 4), (230, 2, 90), (40, 1, 3)] {
            let images = adversarial(seed, images, width, classes, comparison);
            let found = within(&images);
            assert_eq!(
                found.queries,
                by_definition(RetrievalTask::Within(&images)),
                "{comparison:?}"
            );
            assert!(found.duplicates > 0 || images.rows().len() < 100);
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
        let (queries, gallery) = (gallery.select(&searching), gallery.select(&searched));
        let task = RetrievalTask::Overlapping {
            queries: &queries,
            gallery: &gallery,
            itself: &itself,
        };
        for depth in [RankDepth::Nearest, RankDepth::All] {
            let found = retrieve(task, depth, EvalResources::default()).unwrap();
            let first = |queries: &[QueryResult]| {
                queries
                    .iter()
                    .map(|query| query.scores.first)
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                first(&found.queries),
                first(&by_definition(task)),
                "{comparison:?}"
            );
        }
        assert_eq!(
            retrieve(task, RankDepth::All, EvalResources::default())
                .unwrap()
                .queries,
            by_definition(task),
            "{comparison:?}"
        );
    }
}

/// The same images, each from one of a few cameras or from none.
fn filmed(images: LabeledEmbeddings, seed: u64) -> LabeledEmbeddings {
    let mut draws = Draws::new(seed, Purpose::Weights, 2, 0);
    let cameras = (0..images.labels().len()).map(|_| draws.below(5) as u32);
    let cameras = cameras.map(|camera| (camera > 0).then_some(camera));
    images.with_cameras(cameras.collect()).unwrap()
}

#[test]
fn a_query_does_not_search_its_class_from_its_own_camera() {
    for (seed, comparison) in (40..).zip(COMPARISONS) {
        let gallery = filmed(adversarial(seed, 430, 6, 25, comparison), seed);
        let queries = filmed(adversarial(seed, 210, 6, 20, comparison), seed + 1);
        let searched: Vec<usize> = (0..430).filter(|image| image % 5 > 0).collect();
        let place = |query| {
            searched
                .binary_search(&query)
                .ok()
                .map(|place| place as u32)
        };
        let itself: Vec<Option<u32>> = (0..430).map(place).collect();
        let part = gallery.select(&searched);
        for (task, what) in [
            (RetrievalTask::Within(&gallery), "within"),
            (
                RetrievalTask::Between {
                    queries: &queries,
                    gallery: &gallery,
                },
                "between",
            ),
            (
                RetrievalTask::Overlapping {
                    queries: &gallery,
                    gallery: &part,
                    itself: &itself,
                },
                "overlapping",
            ),
        ] {
            let found = retrieve(task, RankDepth::All, EvalResources::default()).unwrap();
            assert_eq!(found.queries, by_definition(task), "{what}, {comparison:?}");
            assert_same_by_libtorch(task, what);
        }
    }
}

#[test]
fn queries_search_a_gallery_that_is_another_set() {
    for (seed, comparison) in (1..).zip(COMPARISONS) {
        let queries = adversarial(seed, 210, 6, 20, comparison);
        let gallery = adversarial(seed, 430, 6, 25, comparison);
        let task = RetrievalTask::Between {
            queries: &queries,
            gallery: &gallery,
        };
        assert_eq!(
            retrieve(task, RankDepth::All, EvalResources::default())
                .unwrap()
                .queries,
            by_definition(task),
            "{comparison:?}"
        );
        // Some of both are equal: they are other images all the same.
        let task = RetrievalTask::Between {
            queries: &gallery,
            gallery: &queries,
        };
        assert_eq!(
            retrieve(task, RankDepth::All, EvalResources::default())
                .unwrap()
                .queries,
            by_definition(task),
            "{comparison:?}"
        );
    }
}

#[test]
fn less_depth_gives_the_same_values_of_what_it_gives() {
    let images = adversarial(4, 500, 4, 12, Comparison::Cosine);
    let all = within(&images);
    for depth in [RankDepth::First, RankDepth::Nearest] {
        let found = retrieve(
            RetrievalTask::Within(&images),
            depth,
            EvalResources::default(),
        )
        .unwrap();
        for (found, all) in found.queries.iter().zip(&all.queries) {
            for order in [
                |query: &QueryResult| query.scores,
                |query: &QueryResult| query.optimistic,
                |query: &QueryResult| query.pessimistic,
            ] {
                let (found, all) = (order(found), order(all));
                assert_eq!(found.first, all.first);
                assert_eq!(found.ap, None);
                if depth == RankDepth::Nearest {
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
        for depth in [RankDepth::First, RankDepth::Nearest, RankDepth::All] {
            let expected = retrieve(
                RetrievalTask::Within(&images),
                depth,
                EvalResources::default(),
            )
            .unwrap();
            for (threads, budget) in [(1, 1 << 30), (3, 0), (2, 40_000), (1, 1)] {
                let pool = ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                let found = pool.install(|| {
                    retrieve(
                        RetrievalTask::Within(&images),
                        depth,
                        EvalResources {
                            budget,
                            ..EvalResources::default()
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
fn no_instruction_set_changes_a_result() {
    for comparison in COMPARISONS {
        let images = adversarial(6, 400, 19, 25, comparison);
        let expected = by_definition(RetrievalTask::Within(&images));
        let classes = ClassIndex::new(images.labels(), images.labels());
        let problem = RankProblem {
            queries: images.rows(),
            references: images.rows(),
            self_match: SelfMatch::SameIndex,
            cameras: None,
            classes: &classes,
            first_equal: &first_equal(images.rows()),
            depth: RankDepth::All,
        };
        let resources = EvalResources::default();
        for processor in Processor::available() {
            let mut found = Vec::new();
            let done = ranks(
                &problem,
                comparison,
                resources,
                processor,
                |query, ranks| {
                    let positives = problem.positives(query);
                    if positives > 0 {
                        let label = images.labels()[query];
                        let result =
                            QueryResult::new(query, label, ranks, positives, RankDepth::All);
                        found.push(result);
                    }
                },
            );
            assert_eq!(done, Ok(()));
            assert_eq!(found, expected, "{processor:?}, {comparison:?}");
        }
    }
}

/// Asserts that libtorch finds the same, with much and with little memory on its device.
fn assert_same_by_libtorch(task: RetrievalTask, what: &str) {
    for depth in [RankDepth::First, RankDepth::Nearest, RankDepth::All] {
        let expected = retrieve(task, depth, EvalResources::default()).unwrap();
        for (budget, device_budget) in [(1 << 28, 1 << 30), (0, 0), (1 << 14, 1 << 20)] {
            let resources = EvalResources {
                device: Device::Cpu,
                budget,
                device_budget,
                ..EvalResources::default()
            };
            let found = retrieve_with(task, depth, resources, true).unwrap();
            assert_eq!(found, expected, "{what}, {depth:?}, {resources:?}");
        }
    }
}

#[test]
fn libtorch_finds_the_same_to_the_last_bit() {
    for (seed, comparison) in (20..).zip(COMPARISONS) {
        let of = |values: Vec<f32>, width, labels: &[i64]| {
            LabeledEmbeddings::new(rows_of(&values, width), labels.to_vec(), comparison).unwrap()
        };
        let images = adversarial(seed, 300, 7, 25, Comparison::Dot);
        let (values, labels) = (images.rows().values(), images.labels());
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
            assert_same_by_libtorch(
                RetrievalTask::Within(&images),
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
        let task = RetrievalTask::Between {
            queries: &queries,
            gallery: &gallery,
        };
        assert_same_by_libtorch(task, &format!("{comparison:?}"));
        let searching: Vec<usize> = (0..430).filter(|image| image % 3 > 0).rev().collect();
        let searched: Vec<usize> = (0..430).filter(|image| image % 5 > 0).collect();
        let place = |query| searched.binary_search(query).ok().map(|place| place as u32);
        let itself: Vec<Option<u32>> = searching.iter().map(place).collect();
        let (queries, gallery) = (gallery.select(&searching), gallery.select(&searched));
        let task = RetrievalTask::Overlapping {
            queries: &queries,
            gallery: &gallery,
            itself: &itself,
        };
        assert_same_by_libtorch(task, &format!("overlapping, {comparison:?}"));
    }
}

#[test]
fn the_order_of_the_images_changes_nothing_but_ties() {
    let images = adversarial(7, 500, 6, 30, Comparison::Cosine);
    let mut order: Vec<usize> = (0..500).collect();
    Draws::new(1, Purpose::Batch, 0, 0).choose(&mut order, 500);
    let values: Vec<f32> = order
        .iter()
        .flat_map(|&image| images.rows().row(image))
        .copied()
        .collect();
    let labels = order.iter().map(|&image| images.labels()[image]).collect();
    // Normalized a second time, a row could change in its last bit: the order is by dot product.
    let shuffled = LabeledEmbeddings::new(rows_of(&values, 6), labels, Comparison::Dot).unwrap();
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
            .rows()
            .values()
            .iter()
            .map(|value| value * factor)
            .collect();
        let images =
            LabeledEmbeddings::new(rows_of(&values, 5), images.labels().to_vec(), comparison)
                .unwrap();
        assert_eq!(
            within(&images).queries,
            by_definition(RetrievalTask::Within(&images)),
            "{factor:e} {comparison:?}"
        );
    }
}

#[test]
fn clouds_far_from_the_origin_are_compared_exactly() {
    let images = adversarial(9, 300, 8, 20, Comparison::Dot);
    let values: Vec<f32> = images
        .rows()
        .values()
        .iter()
        .map(|value| value + 1000.0)
        .collect();
    for comparison in COMPARISONS {
        let images =
            LabeledEmbeddings::new(rows_of(&values, 8), images.labels().to_vec(), comparison)
                .unwrap();
        assert_eq!(
            within(&images).queries,
            by_definition(RetrievalTask::Within(&images)),
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
        let values: Vec<f32> = images
            .rows()
            .values()
            .iter()
            .enumerate()
            .map(near)
            .collect();
        for comparison in COMPARISONS {
            let images =
                LabeledEmbeddings::new(rows_of(&values, 8), images.labels().to_vec(), comparison)
                    .unwrap();
            assert_eq!(
                within(&images).queries,
                by_definition(RetrievalTask::Within(&images)),
                "{comparison:?} {nearness}"
            );
        }
    }
}

/// The scores of a query with ten right answers at these ranks.
fn of_ten(ranks: &[u32]) -> QueryScores {
    QueryScores::new(ranks.iter().copied(), 10, RankDepth::All)
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
            let rows = Embeddings::from_tensor(&tensor(&case[embeddings])).unwrap();
            LabeledEmbeddings::new(
                rows,
                integers(&case[labels]),
                comparison(&case["comparison"]),
            )
            .unwrap()
        };
        let gallery = labelled("embeddings", "labels")
            .with_cameras(cameras(&case["cameras"]))
            .unwrap();
        let queries = (!case["queries"].is_null()).then(|| labelled("queries", "query_labels"));
        let shared: Vec<usize> = (0..case["shared"].as_u64().unwrap_or(0) as usize).collect();
        let itself: Vec<Option<u32>> = shared.iter().map(|&place| Some(place as u32)).collect();
        let part = gallery.select(&shared);
        let task = match &queries {
            Some(queries) => RetrievalTask::Between {
                queries,
                gallery: &gallery,
            },
            None if !shared.is_empty() => RetrievalTask::Overlapping {
                queries: &part,
                gallery: &gallery,
                itself: &itself,
            },
            None => RetrievalTask::Within(&gallery),
        };
        let found = retrieve(task, RankDepth::All, EvalResources::default()).unwrap();
        let agree = |value: f64, name: &str| {
            let expected = case["expected"][name].as_f64().unwrap();
            assert!(
                (value - expected).abs() < 1e-9,
                "{} {name}: {value}, not {expected}",
                case["name"]
            );
        };
        let means = found.means(TieOrder::ByIndex);
        agree(means.recall(1), "precision_at_1");
        agree(means.r_precision(), "r_precision");
        agree(means.map_at_r(), "mean_average_precision_at_r");
        agree(means.map(), "mean_average_precision");
        agree(means.mrr(), "mean_reciprocal_rank");
        agree(means.macro_precision_at_1(), "macro_precision_at_1");
        agree(means.macro_map_at_r(), "macro_map_at_r");
        for (k, expected) in case["expected"]["recall"].as_object().unwrap() {
            assert_eq!(
                means.recall(k.parse().unwrap()),
                expected.as_f64().unwrap(),
                "{} recall@{k}",
                case["name"]
            );
        }
        assert_eq!(
            found.without_positive as i64,
            case["expected"]["lone"].as_i64().unwrap()
        );
    }
}

fn cameras(numbers: &Value) -> Vec<Option<u32>> {
    let numbers = numbers.as_array().into_iter().flatten();
    numbers
        .map(|number| number.as_u64().map(|number| number as u32))
        .collect()
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
    let one_point = Embeddings::from_tensor(&noise(1, 1, 64).repeat([40, 1])).unwrap();
    for (rows, mean_cosine) in [
        (rows_of(&[1.0; 320], 8), 1.0),
        (rows_of(&[0.0; 320], 8), 1.0),
        (one_point, 1.0),
    ] {
        let found =
            within(&LabeledEmbeddings::new(rows, labels.clone(), Comparison::Cosine).unwrap());
        let means = found.means(TieOrder::ByIndex);
        assert!((means.recall(1) - 0.1).abs() < 1e-12, "{found:?}");
        assert!(means.map_at_r() < 0.15, "{found:?}");
        assert_eq!((found.duplicates, found.has_ties()), (39, true));
        assert!((found.mean_cosine - mean_cosine).abs() < 1e-6);
        // Right answers that always win ties would give 100 %, those that always lose 0 %.
        let recall = |order| found.means(order).recall(1);
        assert_eq!(recall(TieOrder::Optimistic), 1.0);
        assert_eq!(recall(TieOrder::Pessimistic), 0.0);
    }
}

#[test]
fn perfect_embeddings_score_one_hundred_percent() {
    let labels = vec![0i64, 1, 2, 0, 1, 2, 0, 1];
    let values: Vec<f32> = labels
        .iter()
        .flat_map(|&label| [0, 1, 2].map(|class| f32::from(u8::from(label == class))))
        .collect();
    let found =
        within(&LabeledEmbeddings::new(rows_of(&values, 3), labels, Comparison::Cosine).unwrap());
    let means = found.means(TieOrder::ByIndex);
    assert_eq!(
        (means.recall(1), means.r_precision(), means.map_at_r()),
        (1.0, 1.0, 1.0)
    );
    assert_eq!((means.map(), means.mrr()), (1.0, 1.0));
    assert_eq!((found.queries.len(), found.without_positive), (8, 0));
}

#[test]
fn an_image_alone_in_its_class_is_no_query_but_a_wrong_answer() {
    let rows = rows_of(&[1.0, 0.0, 0.9, 0.5, 0.95, 0.2], 2);
    let found = within(&LabeledEmbeddings::new(rows, vec![4, 4, 9], Comparison::Cosine).unwrap());
    assert_eq!((found.queries.len(), found.without_positive), (2, 1));
    let means = found.means(TieOrder::ByIndex);
    assert_eq!((means.recall(1), means.recall(2)), (0.0, 1.0));
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let rows = || rows_of(&[1.0, 0.0, 0.5, 0.5, 0.0, 1.0], 2);
    let labelled =
        |labels: &[i64]| LabeledEmbeddings::new(rows(), labels.to_vec(), Comparison::Cosine);
    assert_eq!(
        labelled(&[0, 1]).unwrap_err(),
        EvalError::Labels {
            embeddings: 3,
            labels: 2
        }
    );
    let images = labelled(&[0, 1, 2]).unwrap();
    assert_eq!(
        retrieve(
            RetrievalTask::Within(&images),
            RankDepth::All,
            EvalResources::default()
        )
        .unwrap_err(),
        EvalError::NoQueries
    );
    let wide = LabeledEmbeddings::new(rows_of(&[1.0; 3], 3), vec![0], Comparison::Cosine).unwrap();
    let task = RetrievalTask::Between {
        queries: &wide,
        gallery: &images,
    };
    assert_eq!(
        retrieve(task, RankDepth::All, EvalResources::default()).unwrap_err(),
        EvalError::Widths {
            queries: 3,
            references: 2
        }
    );
    for wrong in [f32::NAN, f32::INFINITY] {
        let mut values = vec![1.0; 40_000];
        values[30_007] = wrong;
        assert_eq!(
            Embeddings::new(values, 4).unwrap_err(),
            EvalError::NotFinite { image: 7501 }
        );
    }
}

#[test]
fn a_flag_stops_every_kind_of_evaluation() {
    let images = adversarial(9, 400, 7, 25, Comparison::Cosine);
    let task = RetrievalTask::Within(&images);
    let flag = AtomicBool::new(true);
    let stopped = EvalResources {
        stop: StopFlag(Some(&flag)),
        ..EvalResources::default()
    };
    for libtorch in [false, true] {
        let found = retrieve_with(task, RankDepth::All, stopped, libtorch);
        assert_eq!(found, Err(EvalError::Stopped));
    }
    assert_eq!(nearest(task, 3, stopped), Err(EvalError::Stopped));
    assert_eq!(cluster(&images, 0, stopped), Err(EvalError::Stopped));
    flag.store(false, Ordering::Relaxed);
    assert!(retrieve(task, RankDepth::All, stopped).is_ok());
    assert!(cluster(&images, 0, stopped).is_ok());
}
