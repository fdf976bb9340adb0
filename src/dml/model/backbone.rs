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

#[cfg(test)]
mod tests {
    use schema::{
        ClipB32, ConvnextT, Dinov2S14, Dinov3S16, Registers, Resnet18, SiglipB16, SwinT, VitS16,
    };

    use super::*;
    use crate::{parameters::Segment, testing::golden};

    /// A trunk for images of its usual size, as far as its parameters go, and the number of the layer behind it.
    fn built(backbone: &Backbone) -> (ParamBuilder, u32) {
        let mut builder = ParamBuilder::default();
        let input = TrunkInput {
            channels: 3,
            image_size: 224,
            module: None,
        };
        let _ = backbone.trunk(&mut builder, input);
        builder.begin_head();
        builder.parameter(
            "embedding.weight",
            &[8, 8],
            crate::parameters::Init::FanIn(8),
        );
        let last = builder.last_layer();
        builder.parameters.pop();
        (builder, last)
    }

    fn named(name: &str) -> Backbone {
        match name {
            "resnet18" => Backbone::Resnet18(Resnet18::default()),
            "vit_s16" => Backbone::VitS16(VitS16::default()),
            "dinov2_s14 with registers" => Backbone::Dinov2S14(Dinov2S14 {
                registers: Registers::Four,
                ..Dinov2S14::default()
            }),
            "dinov3_s16" => Backbone::Dinov3S16(Dinov3S16::default()),
            "clip_b32" => Backbone::ClipB32(ClipB32::default()),
            "siglip_b16" => Backbone::SiglipB16(SiglipB16::default()),
            "convnext_t" => Backbone::ConvnextT(ConvnextT::default()),
            "swin_t" => Backbone::SwinT(SwinT::default()),
            other => panic!("golden backbone {other}"),
        }
    }

    #[test]
    fn parameters_belong_to_the_layers_and_decay_as_in_timm() {
        let golden = golden(include_str!("testdata/layers.json"));
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 8);
        for case in cases {
            let name = case["backbone"].as_str().unwrap();
            let (builder, last) = built(&named(name));
            assert_eq!(case["last"], last, "{name}");
            for spec in &builder.parameters {
                let Segment { layer, decays, .. } = spec.segment();
                let expected = &case["parameters"][spec.name()];
                let found = serde_json::json!([layer, decays]);
                assert_eq!(*expected, found, "{name}: {}", spec.name());
            }
        }
    }

    #[test]
    fn every_network_that_has_several_layers_numbers_them_from_the_image_on() {
        for backbone in Backbone::every() {
            if matches!(backbone, Backbone::Torchscript(_) | Backbone::Pixels) {
                continue;
            }
            let (builder, last) = built(&backbone);
            let layers: Vec<u32> = builder
                .parameters
                .iter()
                .map(|spec| spec.segment().layer)
                .collect();
            assert!(layers.is_sorted() && layers[0] == 0, "{}", backbone.key());
            assert!(last >= 4, "{} has {last}", backbone.key());
        }
    }
}
