//! Hierarchical triplet loss.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction, Setting,
    parts::{part::part, range::above},
};

/// The images whose classes are in the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TreeOf {
    /// Those of the batch or the memory, at each step. Classes are joined later than in the tree of all classes, so
    /// margins are larger: a variant of the published loss.
    #[default]
    Batch,
    /// All training images, at each `survey`, as in the paper.
    Survey,
}

impl TreeOf {
    fn is_default(&self) -> bool {
        *self == TreeOf::default()
    }
}

impl Setting for TreeOf {}

/// Margin of the triplet loss that comes first.
const FIRST_MARGIN: f64 = 0.2;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_first_margin(margin: &f64) -> bool {
    *margin == FIRST_MARGIN
}

part! {
    /// Hierarchical triplet loss (Ge et al., ECCV 2018).
    pub struct HierarchicalTriplet {
        /// Added to the margin of each triplet (beta in the paper).
        margin: f64 = 0.1,
        /// Number of levels of the class tree.
        levels: u32 = 16 => above(0.0),
        /// The images whose classes are in the tree.
        #[serde(skip_serializing_if = "TreeOf::is_default")]
        tree: TreeOf = TreeOf::Batch,
        /// Margin of the triplet loss that is minimized before the first survey.
        #[serde(skip_serializing_if = "is_first_margin")]
        first_margin: f64 = FIRST_MARGIN,
    }
    formula: "triplet with a margin that grows with the distance of the classes in a tree",
    source: "Ge et al., ECCV 2018",
}

impl LossPart for HierarchicalTriplet {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::SquaredEuclidean],
            reduction: Reduction::Mean,
            references: ReferenceKind::Tuples,
        }
    }

    fn needs_survey(&self) -> bool {
        self.tree == TreeOf::Survey
    }

    fn survey_setting(&self) -> Option<&'static str> {
        Some("tree = \"survey\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loss;

    #[test]
    fn it_depends_on_surveys_with_the_setting_that_is_told() {
        let setting = HierarchicalTriplet::default().survey_setting();
        let written = setting.and_then(|setting| setting.split_once(" = "));
        let (key, value) = written.unwrap();
        let loss = format!("{{ \"hierarchical_triplet\": {{ \"{key}\": {value} }} }}");
        let loss: Loss = serde_json::from_str(&loss).unwrap();
        assert!(loss.needs_survey());
        assert!(!Loss::from(HierarchicalTriplet::default()).needs_survey());
    }
}
