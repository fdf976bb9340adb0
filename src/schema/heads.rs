//! Several heads on one trunk.
//!
//! Each head gives one block of the embedding, at length one, and a loss sees one block. For retrieval the blocks are
//! joined, each times a factor, so that a joined embedding has length one too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Head, Model};

/// A head of a network with several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingHead {
    /// Width of its block. The widths of all heads add up to `model.embedding`.
    #[schemars(range(min = 1))]
    pub width: u32,
    /// The layer of the backbone whose map it pools. Absent: the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tap: Option<String>,
    /// Its layers. Absent: as `model.head`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Head>,
}

impl EmbeddingHead {
    /// Returns a head of this width on the last map, with the layers of the model.
    pub fn of_width(width: u32) -> EmbeddingHead {
        EmbeddingHead {
            width,
            tap: None,
            layers: None,
        }
    }
}

/// The factors of the blocks of a joined embedding, up to a common one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// The same for all.
    #[default]
    Equal,
    /// The widths of the blocks, as in the program of BIER: similarities count by the square of it.
    Width,
    /// These, one for each head.
    Factors(Vec<f64>),
}

impl Join {
    pub(crate) fn is_equal(&self) -> bool {
        *self == Join::Equal
    }
}

impl Model {
    /// Returns the factor of each head's block. The sum of their squares is 1.
    pub fn factors(&self) -> Vec<f64> {
        let of_widths = || {
            self.heads
                .iter()
                .map(|head| f64::from(head.width))
                .collect()
        };
        let factors: Vec<f64> = match &self.join {
            Join::Equal => vec![1.0; self.heads.len()],
            Join::Width => of_widths(),
            Join::Factors(factors) => factors.clone(),
        };
        let length = factors
            .iter()
            .map(|factor| factor * factor)
            .sum::<f64>()
            .sqrt();
        factors.iter().map(|factor| factor / length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backbone;

    #[test]
    fn the_factors_of_a_joined_embedding_make_it_one_long() {
        let mut model = Model::new(Backbone::Conv4, Some(512));
        model.heads = [96, 160, 256].map(EmbeddingHead::of_width).to_vec();
        let shares = |model: &Model| -> Vec<f64> {
            let squares = model.factors().into_iter().map(|factor| factor * factor);
            squares
                .map(|share| (share * 1000.0).round() / 1000.0)
                .collect()
        };
        assert_eq!(shares(&model), [0.333, 0.333, 0.333]);
        model.join = Join::Width;
        assert_eq!(shares(&model), [0.092, 0.255, 0.653]);
        model.join = Join::Factors(vec![3.0, 0.0, 4.0]);
        assert_eq!(shares(&model), [0.36, 0.0, 0.64]);
    }
}
