//! Construction of trunks: the layers of each backbone, from the settings of its part.
//!
//! Everything else that is known about a backbone, such as its input and its smallest image, is in
//! [`schema::BackbonePart`].

use schema::{Backbone, for_each_backbone};
use tch::Tensor;

use super::{
    layers::ParamBuilder,
    trunk::{BuildTrunk, Trunk, TrunkInput},
    weights::naming::Naming,
};

macro_rules! dispatch {
    ($($unit:ident),*; $($variant:ident),*) => {
        impl BuildTrunk for Backbone {
            fn trunk(&self, builder: &mut ParamBuilder, input: TrunkInput) -> Box<dyn Trunk> {
                match self {
                    $(Backbone::$unit => schema::$unit.trunk(builder, input),)*
                    $(Backbone::$variant(part) => part.trunk(builder, input),)*
                }
            }

            fn adapted(&self, name: &str, tensor: &Tensor, shape: &[i64]) -> Tensor {
                match self {
                    $(Backbone::$unit => schema::$unit.adapted(name, tensor, shape),)*
                    $(Backbone::$variant(part) => part.adapted(name, tensor, shape),)*
                }
            }

            fn resamples(&self, name: &str) -> bool {
                match self {
                    $(Backbone::$unit => schema::$unit.resamples(name),)*
                    $(Backbone::$variant(part) => part.resamples(name),)*
                }
            }

            fn namings(&self) -> &'static [Naming] {
                match self {
                    $(Backbone::$unit => schema::$unit.namings(),)*
                    $(Backbone::$variant(part) => part.namings(),)*
                }
            }
        }
    };
}

for_each_backbone!(dispatch);
