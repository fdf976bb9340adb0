//! Settings of losses on pairs, triplets and anchors.

use crate::settings::settings;

settings! {
    /// Contrastive loss (Hadsell et al., CVPR 2006).
    Contrastive {
        /// A positive pair costs nothing when it is closer than this.
        pos_margin: f64 = 0.0,
        /// A negative pair costs nothing when it is farther than this.
        neg_margin: f64 = 1.0,
        /// Exponent of each term.
        power: f64 = 1.0,
    }

    /// Contrastive loss as Deep_Metric, MS and XBM have it: sums of similarities over the images of a batch.
    ContrastiveDm {
        /// A negative pair costs nothing when it is less similar than this.
        margin: f64 = 0.5,
    }

    /// Triplet margin loss (Weinberger & Saul, 2009).
    Triplet {
        /// How much farther a negative has to be than a positive.
        margin: f64 = 0.05,
        /// Take the negative's distance to anchor or positive, whichever is closer.
        swap: bool = false,
        /// Softplus in the place of the hinge.
        smooth: bool = false,
    }

    /// Lifted structure loss (Oh Song et al., CVPR 2016).
    Lifted {
        /// Negatives count until they are this far.
        neg_margin: f64 = 1.0,
        /// Positives cost from this distance on.
        pos_margin: f64 = 0.0,
    }

    /// Generalised lifted structure loss (Hermans et al., 2017).
    GeneralisedLifted {
        /// Negatives count until they are this far.
        neg_margin: f64 = 1.0,
        /// Positives cost from this distance on.
        pos_margin: f64 = 0.0,
    }

    /// The lifted loss of Deep_Metric: soft extremes of similarities, without a hinge.
    LiftedDm {
        /// Sharpness on negatives.
        alpha: f64 = 40.0,
        /// Sharpness on positives.
        beta: f64 = 2.0,
    }

    /// Binomial deviance loss (Yi et al., 2014).
    Binomial {
        /// Sharpness.
        alpha: f64 = 2.0,
        /// The similarity that divides positives from negatives (beta in the paper).
        base: f64 = 0.5,
        /// How much sharper negatives count.
        cost: f64 = 25.0,
    }

    /// The binomial deviance of Deep_Metric.
    BinomialDm {
        /// Sharpness on negatives.
        alpha: f64 = 40.0,
        /// Sharpness on positives.
        beta: f64 = 2.0,
        /// The similarity that divides positives from negatives.
        base: f64 = 0.5,
        /// Whether the sharpness is divided out again, as that program does when it mines.
        scaled: bool = false,
    }

    /// Neighbourhood components analysis (Goldberger et al., 2004).
    Nca {
        /// Factor of the squared distances.
        scale: f64 = 1.0,
    }

    /// NCA among the nearest neighbours, as Deep_Metric intended it.
    NcaDm {
        /// Factor of the similarities.
        alpha: f64 = 16.0,
        /// How many neighbours count.
        k: u32 = 32,
    }

    /// The semi-hard loss that Deep_Metric intended: mined pairs under binomial costs.
    SemiHardDm {
        /// Sharpness on negatives.
        alpha: f64 = 40.0,
        /// Sharpness on positives.
        beta: f64 = 2.0,
        /// The similarity that divides positives from negatives.
        base: f64 = 0.5,
    }

    /// Multi-similarity loss (Wang et al., CVPR 2019).
    MultiSimilarity {
        /// Sharpness of the pull on positive pairs.
        alpha: f64 = 2.0,
        /// Sharpness of the push on negative pairs.
        beta: f64 = 50.0,
        /// The similarity that divides both (lambda in the paper).
        base: f64 = 0.5,
    }

    /// Normalised temperature-scaled cross entropy (Sohn, 2016; Chen et al., 2020).
    NtXent {
        /// Divides the similarities.
        temperature: f64 = 0.07,
    }

    /// Supervised contrastive loss (Khosla et al., NeurIPS 2020).
    SupCon {
        /// Divides the similarities.
        temperature: f64 = 0.1,
    }

    /// Circle loss (Sun et al., CVPR 2020).
    Circle {
        /// Relaxation (m in the paper).
        margin: f64 = 0.4,
        /// Scale (gamma in the paper).
        gamma: f64 = 80.0,
    }

    /// Contrastive loss on the signal-to-noise distance (Yuan et al., CVPR 2019).
    SnrContrastive {
        /// A positive pair costs nothing when it is closer than this.
        pos_margin: f64 = 0.0,
        /// A negative pair costs nothing when it is farther than this.
        neg_margin: f64 = 1.0,
    }

    /// N-pair loss (Sohn, NeurIPS 2016).
    NPair {}

    /// Angular loss (Wang et al., ICCV 2017).
    Angular {
        /// Upper bound of the angle at the negative, in degrees.
        alpha: f64 = 40.0,
    }
}
