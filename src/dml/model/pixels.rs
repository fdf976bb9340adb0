//! The pixels themselves, flattened.

use schema::Pixels;
use tch::Tensor;

use super::{
    layers::{ForwardContext, ParamBuilder},
    trunk::{BuildTrunk, Trunk, TrunkInput},
};

#[derive(Debug)]
struct Flatten;

impl Trunk for Flatten {
    fn forward(&self, _: &ForwardContext, images: &Tensor) -> Tensor {
        images.flatten(1, -1)
    }
}

impl BuildTrunk for Pixels {
    fn trunk(&self, _: &mut ParamBuilder, _: TrunkInput) -> Box<dyn Trunk> {
        Box::new(Flatten)
    }
}
