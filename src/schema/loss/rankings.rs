//! Settings of losses on rankings, distributions and clusterings of a batch.

use crate::settings::settings;

settings! {
    /// FastAP (Cakir et al., CVPR 2019): average precision from histograms of distances.
    FastAp {
        /// Bins of the histogram.
        bins: u32 = 10,
    }

    /// Histogram loss (Ustinova & Lempitsky, NeurIPS 2016).
    Histogram {
        /// Bins of the histogram.
        bins: u32 = 100,
    }

    /// Smooth-AP (Brown et al., ECCV 2020).
    SmoothAp {
        /// Width of the sigmoid that stands for a step.
        temperature: f64 = 0.01,
        /// Whether the query counts among its own positives, as the authors and PML have it.
        itself: bool = true,
    }

    /// Recall@k surrogate (Patel et al., CVPR 2022).
    RecallAtK {
        /// The values of k that are averaged over.
        ks: Vec<u32> = vec![1, 2, 4, 8, 16],
        /// Width of the sigmoid that stands for a comparison of similarities.
        rank_temperature: f64 = 0.01,
        /// Width of the sigmoid that stands for a comparison of ranks.
        k_temperature: f64 = 1.0,
    }

    /// Hierarchical triplet loss (Ge et al., ECCV 2018).
    HierarchicalTriplet {
        /// What is added to the margin of each triplet (beta in the paper).
        margin: f64 = 0.1,
        /// Levels of the tree of classes.
        levels: u32 = 16,
    }

    /// Clustering loss by facility location (Oh Song et al., CVPR 2017).
    Clustering {
        /// What clusters that are unlike the classes cost.
        gamma: f64 = 1.0,
        /// Rounds in which medoids move.
        refinements: u32 = 5,
    }
}
