//! From a map of the trunk to the inputs of the layers of a head.
//!
//! Most heads pool the map to one vector. The auxiliary layers of a head keep positions: an average of each window, a 1x1
//! convolution and ReLU, whose numbers are inputs of the next layer one by one, channel after channel. Reference: the
//! released network of HDC (Yuan et al., ICCV 2017), where 14 x 14 positions give 4 x 4 windows, and torchvision's
//! `InceptionAux`, but for its windows.

use schema::{Auxiliary, EmbeddingHead, Pooling};
use tch::Tensor;

use super::{
    config::NetworkConfig,
    layers::{Conv, ForwardContext, ParamBuilder, Shape},
    pooling::Pool,
};

/// What is between a map and the layers of a head.
#[derive(Debug)]
pub(super) enum Entry {
    Pool(Pool),
    /// The convolution `PREFIXauxiliary` behind the windows.
    Auxiliary(Conv),
}

impl Entry {
    /// Returns what is before the layers of one head of several.
    pub(super) fn of_head(
        builder: &mut ParamBuilder,
        prefix: &str,
        head: &EmbeddingHead,
        config: &NetworkConfig,
    ) -> Entry {
        let Some(Auxiliary { channels }) = head.auxiliary else {
            let pooling = config.model.pooling.unwrap_or(Pooling::Avg);
            return Entry::Pool(Pool::new(builder, prefix, pooling));
        };
        let shape = Shape::new(config.channels_of(head), channels.into(), 1).biased();
        let name = format!("{prefix}auxiliary");
        Entry::Auxiliary(Conv::new(builder, &name, shape))
    }

    /// Returns the width of its result.
    pub(super) fn width(head: &EmbeddingHead, config: &NetworkConfig) -> i64 {
        match head.auxiliary {
            Some(Auxiliary { channels }) => i64::from(channels) * config.windows_of(head),
            None => config.channels_of(head),
        }
    }

    /// Returns `[n, width]` of a map `[n, c, h, w]`, or of features `[n, width]`, which stay as they are.
    pub(super) fn forward(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        let map = map.to_kind(context.dtype);
        match self {
            _ if map.dim() != 4 => map,
            Entry::Pool(pool) => pool.forward(context, &map),
            Entry::Auxiliary(convolution) => {
                let averages = averages(&map);
                convolution
                    .forward(context, &averages)
                    .relu()
                    .flatten(1, -1)
            }
        }
    }
}

/// Returns the averages `[n, c, windows, windows]` of the windows of a map `[n, c, side, side]`.
fn averages(map: &Tensor) -> Tensor {
    let [window, stride] = [Auxiliary::WINDOW, Auxiliary::STRIDE].map(i64::from);
    map.avg_pool2d([window; 2], [stride; 2], [0; 2], true, true, None::<i64>)
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::{
        model::layers::Adapters,
        testing::{assert_close, golden, tensor},
    };

    #[test]
    fn auxiliary_layers_have_the_values_and_the_gradients_of_torch() {
        let golden = golden(include_str!("testdata/auxiliary.json"));
        let leaf = |name: &str| tensor(&golden[name]).set_requires_grad(true);
        let parameters = [leaf("weight"), leaf("bias")];
        let convolution = Conv::new(
            &mut ParamBuilder::default(),
            "auxiliary",
            Shape::new(2, 3, 1).biased(),
        );
        let entry = Entry::Auxiliary(convolution);
        let context = ForwardContext {
            folds_norms: true,
            mixes_precisions: false,
            keeps_attention: false,
            parameters: &parameters,
            statistics: &[],
            frozen: &[false; 2],
            batch_statistics: false,
            dtype: Kind::Double,
            adapters: Adapters::Ignored,
            stochastic_depth: None,
            lasting: None,
        };
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let map = tensor(&case["map"]).set_requires_grad(true);
            let side = map.size()[2];
            let found = entry.forward(&context, &map);
            let what = format!("{side}x{side}");
            assert_close(&found, &tensor(&case["value"]), 1e-10, &what);
            let windows = i64::from(Auxiliary::windows(side as u32));
            assert_eq!(found.size(), [2, 3 * windows * windows], "{what}");
            let weighted = (&found * tensor(&case["slopes"])).sum(None::<Kind>);
            let inputs = [&map, &parameters[0], &parameters[1]];
            let gradients = Tensor::run_backward(&[weighted], &inputs, false, false);
            for (name, gradient) in ["of_map", "of_weight", "of_bias"].iter().zip(gradients) {
                assert_close(&gradient, &tensor(&case[*name]), 1e-10, &what);
            }
        }
    }
}
