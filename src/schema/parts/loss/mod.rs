//! Losses: settings, defaults, ranges, and what each can be combined with. One file each.
//!
//! What a loss computes is in `dml::loss`. Defaults are those of pytorch-metric-learning 2.9.0 where
//! it has the loss. Names that end in `_dm` are the forms of the Deep_Metric repository where these
//! differ from the papers'.

mod angular;
mod arc_face;
mod binomial;
mod binomial_dm;
mod circle;
mod clustering;
mod combination;
mod contrastive;
mod contrastive_dm;
mod cos_face;
mod fast_ap;
mod generalized_lifted;
mod global;
mod hard_mining_dm;
mod hierarchical_triplet;
mod histogram;
mod large_margin_softmax;
mod lifted;
mod lifted_dm;
mod margin;
mod multi_similarity;
mod n_pair;
mod nca;
mod nca_dm;
mod normalized_softmax;
mod nt_xent;
mod proxy_anchor;
mod proxy_nca;
mod proxy_nca_pp;
mod recall_at_k;
mod script;
mod semi_hard_dm;
mod smooth_ap;
mod snr_contrastive;
mod soft_triple;
mod sphere_face;
mod sub_center_arc_face;
mod sum;
mod sup_con;
mod threshold_consistent_margin;
mod triplet;

pub use clustering::Refinement;
use combination::ANY_DISTANCE;
pub use combination::{
    BeyondMargin, Combination, Incompatible, LossFacts, LossPart, ReferenceKind,
};
pub use hierarchical_triplet::TreeOf;
pub use margin::Boundary;
pub use sum::WeightedLoss;

use super::{part::parts, script::Script};

parts! {
    ($)
    /// A loss with its settings.
    pub enum Loss, for_each_loss {
        Contrastive(contrastive::Contrastive),
        ContrastiveDm(contrastive_dm::ContrastiveDm),
        Triplet(triplet::Triplet),
        Lifted(lifted::Lifted),
        #[serde(rename(serialize = "generalised_lifted", deserialize = "generalized_lifted"))]
        #[serde(alias = "generalised_lifted")]
        GeneralizedLifted(generalized_lifted::GeneralizedLifted),
        LiftedDm(lifted_dm::LiftedDm),
        Binomial(binomial::Binomial),
        BinomialDm(binomial_dm::BinomialDm),
        Nca(nca::Nca),
        NcaDm(nca_dm::NcaDm),
        SemiHardDm(semi_hard_dm::SemiHardDm),
        HardMiningDm(hard_mining_dm::HardMiningDm),
        MultiSimilarity(multi_similarity::MultiSimilarity),
        NtXent(nt_xent::NtXent),
        SupCon(sup_con::SupCon),
        Circle(circle::Circle),
        SnrContrastive(snr_contrastive::SnrContrastive),
        NPair(n_pair::NPair),
        Angular(angular::Angular),
        FastAp(fast_ap::FastAp),
        Histogram(histogram::Histogram),
        SmoothAp(smooth_ap::SmoothAp),
        RecallAtK(recall_at_k::RecallAtK),
        HierarchicalTriplet(hierarchical_triplet::HierarchicalTriplet),
        Global(global::Global),
        Clustering(clustering::Clustering),
        Margin(margin::Margin),
        ProxyNca(proxy_nca::ProxyNca),
        ProxyNcaPp(proxy_nca_pp::ProxyNcaPp),
        ProxyAnchor(proxy_anchor::ProxyAnchor),
        #[serde(rename(serialize = "normalised_softmax", deserialize = "normalized_softmax"))]
        #[serde(alias = "normalised_softmax")]
        NormalizedSoftmax(normalized_softmax::NormalizedSoftmax),
        CosFace(cos_face::CosFace),
        ArcFace(arc_face::ArcFace),
        SoftTriple(soft_triple::SoftTriple),
        SubCenterArcFace(sub_center_arc_face::SubCenterArcFace),
        LargeMarginSoftmax(large_margin_softmax::LargeMarginSoftmax),
        SphereFace(sphere_face::SphereFace),
        ThresholdConsistentMargin(threshold_consistent_margin::ThresholdConsistentMargin),
    }
    and {
        /// A weighted sum of other losses.
        sum: Sum(Vec<WeightedLoss>),
        /// A module of TorchScript: your own loss.
        torchscript: Torchscript(Script),
    }
}

macro_rules! implement_part {
    ($($variant:ident),*) => {
        impl Loss {
            /// Returns what this loss declares; nothing for a sum.
            pub fn part(&self) -> Option<&dyn LossPart> {
                match self {
                    $(Loss::$variant(part) => Some(part),)*
                    Loss::Torchscript(script) => Some(script),
                    Loss::Sum(_) => None,
                }
            }
        }
    };
}
for_each_loss!(implement_part);
