//! Hyperbolic distance as a dot product, so that retrieval by it is as exact, and takes as little memory, as by any other.
//!
//! In the Poincare ball of curvature -c, the exponential map at the center places an embedding x at the distance 2r from it,
//! where r is its length, at most the clip (Ermolov et al., "Hyperbolic Vision Transformers", CVPR 2022). The same point of
//! the hyperboloid is p = (cosh 2√c r, sinh 2√c r · x/|x|), and the distance d of two points satisfies
//! cosh √c d = p₀ q₀ - p₁ q₁ - p₂ q₂ - ... With the sign of its first number changed, a query therefore orders a gallery by
//! dot products, which are -cosh √c d: see [`LabeledEmbeddings::facing`].
//!
//! Where all embeddings have one length, as those of a network that normalizes, or those that are all cut to the clip, the
//! distance orders images as cosine similarity does. The authors of Hyp-ViT measure by this distance.

use rayon::prelude::*;
use schema::Hyperbolic;

use super::embeddings::{Embeddings, dot};

/// The largest √c times the clip. Beyond, single precision cannot tell near points at the rim of the ball apart.
pub const LARGEST_REACH: f64 = 2.0;

/// Returns the points of the hyperboloid: rows of one number more, in single precision.
#[must_use]
pub fn on_hyperboloid(rows: &Embeddings, ball: Hyperbolic) -> Embeddings {
    let width = rows.width() + 1;
    let mut values = vec![0.0; rows.len() * width];
    let points = values.par_chunks_exact_mut(width).enumerate();
    points.for_each(|(index, point)| place(rows.row(index), ball, point));
    Embeddings::new(values, width).expect("lengths are bounded by the clip")
}

fn place(row: &[f32], ball: Hyperbolic, point: &mut [f32]) {
    let length = dot(row, row).sqrt();
    let angle = 2.0 * ball.curvature.sqrt() * length.min(ball.clip);
    let stretch = if length > 0.0 {
        angle.sinh() / length
    } else {
        0.0
    };
    point[0] = angle.cosh() as f32;
    for (to, value) in point[1..].iter_mut().zip(row) {
        *to = (f64::from(*value) * stretch) as f32;
    }
}

#[cfg(test)]
mod tests {
    use schema::{Comparison, Distance};

    use super::*;
    use crate::{
        distance::DistanceExt,
        eval::{
            EvalResources, LabeledEmbeddings, MeanScores, RankDepth, Retrieval, RetrievalTask,
            TieOrder, retrieve,
        },
        testing::{golden, integers, noise, tensor},
    };

    fn on_ball(rows: &Embeddings, labels: &[i64], ball: Hyperbolic) -> LabeledEmbeddings {
        let points = on_hyperboloid(rows, ball);
        LabeledEmbeddings::new(points, labels.to_vec(), Comparison::Dot).unwrap()
    }

    /// Each image searches all others.
    fn within(images: &LabeledEmbeddings) -> Retrieval {
        let itself: Vec<Option<u32>> = (0..images.labels().len() as u32).map(Some).collect();
        let task = RetrievalTask::Overlapping {
            queries: &images.facing(),
            gallery: images,
            itself: &itself,
        };
        retrieve(task, RankDepth::All, EvalResources::default()).unwrap()
    }

    #[test]
    fn scores_are_those_of_the_formula_of_hyp_vit() {
        let golden = golden(include_str!("testdata/hyperbolic.json"));
        for case in golden["cases"].as_array().unwrap() {
            let ball: Hyperbolic = serde_json::from_value(case["comparison"].clone()).unwrap();
            let images = |rows: &str, labels: &str| {
                let rows = Embeddings::from_tensor(&tensor(&case[rows])).unwrap();
                on_ball(&rows, &integers(&case[labels]), ball)
            };
            let gallery = images("embeddings", "labels");
            let found = match case.get("queries") {
                None => within(&gallery),
                Some(_) => {
                    let task = RetrievalTask::Between {
                        queries: &images("queries", "query_labels").facing(),
                        gallery: &gallery,
                    };
                    retrieve(task, RankDepth::All, EvalResources::default()).unwrap()
                }
            };
            let means = found.means(TieOrder::ByIndex);
            let agrees = |value: f64, name: &str| {
                let expected = case["expected"][name].as_f64().unwrap();
                assert!(
                    (value - expected).abs() < 1e-6,
                    "{}: {name} {value}, not {expected}",
                    case["name"]
                );
            };
            agrees(means.recall(1), "precision_at_1");
            agrees(means.r_precision(), "r_precision");
            agrees(means.map_at_r(), "mean_average_precision_at_r");
            agrees(means.map(), "mean_average_precision");
            agrees(means.mrr(), "mean_reciprocal_rank");
        }
    }

    #[test]
    fn similarities_are_minus_the_hyperbolic_cosine_of_the_distance_that_losses_use() {
        let ball = Hyperbolic {
            curvature: 0.3,
            clip: 1.4,
        };
        let embeddings = noise(1, 40, 7);
        let distances = Distance::Hyperbolic(ball).matrix(&embeddings, &embeddings);
        let rows = Embeddings::from_tensor(&embeddings).unwrap();
        let images = on_ball(&rows, &[0; 40], ball);
        let queries = images.facing();
        for (query, image) in [(0, 1), (3, 3), (17, 39), (38, 5)] {
            let distance = distances.double_value(&[query as i64, image as i64]);
            let found = dot(queries.rows().row(query), images.rows().row(image));
            let expected = -(ball.curvature.sqrt() * distance).cosh();
            assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
        }
    }

    #[test]
    fn embeddings_of_one_length_are_ordered_as_by_cosine() {
        let ball = Hyperbolic::default();
        let labels: Vec<i64> = (0..150).map(|image| image % 11).collect();
        let rows = Embeddings::from_tensor(&noise(2, 150, 6)).unwrap();
        let long: Vec<f32> = rows.values().iter().map(|value| 100.0 * value).collect();
        let long = Embeddings::new(long, 6).unwrap();
        let cosine =
            LabeledEmbeddings::new(rows.clone(), labels.clone(), Comparison::Cosine).unwrap();
        let expected = retrieve(
            RetrievalTask::Within(&cosine),
            RankDepth::All,
            EvalResources::default(),
        )
        .unwrap();
        let all = |means: MeanScores| [means.recall(1), means.map(), means.map_at_r()];
        for rows in [rows.normalized(), long] {
            let found = within(&on_ball(&rows, &labels, ball));
            assert_eq!(
                all(found.means(TieOrder::ByIndex)),
                all(expected.means(TieOrder::ByIndex))
            );
        }
    }

    #[test]
    fn an_embedding_of_zeros_is_the_center() {
        let rows = Embeddings::new(vec![0.0, 0.0, 3.0, 4.0], 2).unwrap();
        let points = on_hyperboloid(&rows, Hyperbolic::default());
        assert_eq!(points.row(0), [1.0, 0.0, 0.0]);
    }
}
