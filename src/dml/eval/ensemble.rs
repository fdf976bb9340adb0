//! What several networks make of the same images, taken together, as the Reality Check reports it.
//!
//! *Separated* is the mean of what each network scores alone, which whoever has the scores takes. *Concatenated* is one
//! score, that of the networks' normalised embeddings joined end to end.

use rayon::prelude::*;

use super::Rows;

/// Joins the embeddings of the same images by several networks: each normalised, put end to end, normalised again.
///
/// # Panics
/// If there are none, or they are not of as many images.
pub fn concatenated(parts: Vec<Rows>) -> Rows {
    let parts: Vec<Rows> = parts.into_iter().map(Rows::normalised).collect();
    let (images, width) = (parts[0].len(), parts.iter().map(Rows::width).sum());
    assert!(
        parts.iter().all(|part| part.len() == images),
        "an ensemble is of the same images"
    );
    let joined = |image| parts.iter().flat_map(move |part| part.row(image)).copied();
    let values = (0..images).into_par_iter().flat_map_iter(joined).collect();
    Rows::new(values, width)
        .expect("normalised numbers are finite")
        .normalised()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_the_same_weight_in_a_concatenation() {
        let (long, short) = (
            Rows::new(vec![30.0, 40.0], 2).unwrap(),
            Rows::new(vec![0.0, 0.1, 0.0], 3).unwrap(),
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
