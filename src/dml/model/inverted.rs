//! The block of MobileNetV2 and its descendants: few channels to many, one kernel for each, and back to few.

use tch::Tensor;

use super::layers::{ConvNorm, ForwardContext};

#[derive(Debug)]
pub(super) struct Inverted {
    /// Absent where the channels are not multiplied.
    pub(super) expand: Option<ConvNorm>,
    pub(super) depthwise: ConvNorm,
    pub(super) project: ConvNorm,
    /// Whether what came in is added.
    pub(super) adds: bool,
}

impl Inverted {
    pub(super) fn forward(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        let wide = match &self.expand {
            Some(expand) => &expand.relu6(context, map),
            None => map,
        };
        let mut result = self
            .project
            .forward(context, &self.depthwise.relu6(context, wide));
        if self.adds {
            result.g_add_(map)
        } else {
            result
        }
    }
}
