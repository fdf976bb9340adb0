//! Settings of losses with numbers of their own to train, for each class or for all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::settings;

/// Whether the boundary of the margin loss is learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// It stays what it is.
    Fixed,
    /// One, for all classes.
    Learnt,
    /// One for each class.
    PerClass,
}

settings! {
    /// Margin loss (Wu et al., ICCV 2017).
    Margin {
        /// Half the width of the band around the boundary (alpha in the paper).
        margin: f64 = 0.2,
        /// The boundary at first.
        beta: f64 = 1.2,
        /// Weight of the mean boundary in the loss.
        nu: f64 = 0.0,
        /// Whether the boundary is learnt.
        boundary: Boundary = Boundary::Fixed,
    }

    /// ProxyNCA (Movshovitz-Attias et al., ICCV 2017), the target's proxy in the denominator.
    ProxyNca {
        /// Factor of the squared distances.
        scale: f64 = 1.0,
    }

    /// ProxyNCA++ (Teh et al., ECCV 2020).
    ProxyNcaPp {
        /// Divides the squared distances.
        temperature: f64 = 1.0 / 9.0,
    }

    /// Proxy-Anchor (Kim et al., CVPR 2020).
    ProxyAnchor {
        /// Relaxation (delta in the paper).
        margin: f64 = 0.1,
        /// Sharpness.
        alpha: f64 = 32.0,
    }

    /// Normalised softmax (Wang et al., 2017; Zhai & Wu, BMVC 2019).
    NormalisedSoftmax {
        /// Divides the similarities.
        temperature: f64 = 0.05,
    }

    /// CosFace (Wang et al., CVPR 2018).
    CosFace {
        /// Taken from the target's cosine.
        margin: f64 = 0.35,
        /// Factor of the cosines.
        scale: f64 = 64.0,
    }

    /// ArcFace (Deng et al., CVPR 2019).
    ArcFace {
        /// Added to the target's angle, in degrees.
        margin: f64 = 28.6,
        /// Factor of the cosines.
        scale: f64 = 64.0,
    }

    /// SoftTriple (Qian et al., ICCV 2019).
    SoftTriple {
        /// Centres of each class.
        centres: u32 = 10,
        /// Factor of the similarities (lambda in the paper).
        la: f64 = 20.0,
        /// Divides similarities where a centre is chosen softly.
        gamma: f64 = 0.1,
        /// Taken from the target's similarity.
        delta: f64 = 0.01,
        /// Weight of the penalty that merges centres (tau in the paper).
        regulariser: f64 = 0.2,
    }
}
