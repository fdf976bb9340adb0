//! Ensembles: several networks' embeddings of the same images, as reported in the Reality Check.
//!
//! *Separated* is the mean of the networks' scores, computed from those scores. *Concatenated* is
//! the score of their normalized embeddings joined end to end.

use rayon::prelude::*;

use super::embeddings::Embeddings;

/// Joins the embeddings of the same images by several networks: normalizes each, concatenates them
/// and normalizes the result.
///
/// # Panics
/// If `parts` is empty or their numbers of images differ.
pub fn concatenated(parts: Vec<Embeddings>) -> Embeddings {
    let parts: Vec<Embeddings> = parts.into_iter().map(Embeddings::normalized).collect();
    let images = parts[0].len();
    let width = parts.iter().map(Embeddings::width).sum();
    assert!(
        parts.iter().all(|part| part.len() == images),
        "an ensemble is of the same images"
    );
    let joined = |image| parts.iter().flat_map(move |part| part.row(image)).copied();
    let values = (0..images).into_par_iter().flat_map_iter(joined).collect();
    Embeddings::new(values, width)
        .expect("normalized values are finite")
        .normalized()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_the_same_weight_in_a_concatenation() {
        let (long, short) = (
            Embeddings::new(vec![30.0, 40.0], 2).unwrap(),
            Embeddings::new(vec![0.0, 0.1, 0.0], 3).unwrap(),
        );
        let joined = concatenated(vec![long, short]);
        let half = 0.5f32.sqrt();
        for (found, expected) in
            joined
                .values()
                .iter()
                .zip([0.6 * half, 0.8 * half, 0.0, half, 0.0])
        {
            assert!((found - expected).abs() < 1e-7, "{joined:?}");
        }
    }
}
