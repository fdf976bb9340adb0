//! What all sizes of ConvNeXt have in common.

/// Declares one size, given its formula, timm's word for it, the width of its features and its memory.
macro_rules! convnext_part {
    ($(#[$doc:meta])* $name:ident, $formula:literal, $timm:literal, $features:literal, $footprint:expr) => {
        $crate::parts::part::part! {
            $(#[$doc])*
            pub struct $name {
                /// Trained weights. Absent: random initial parameters.
                #[serde(skip_serializing_if = "Option::is_none")]
                weights: Option<$crate::Weights> = None,
            }
            formula: $formula,
            source: "Liu et al., CVPR 2022",
        }

        impl $crate::BackbonePart for $name {
            fn features(&self) -> Option<u32> {
                Some($features)
            }

            fn footprint(&self) -> $crate::Footprint {
                $footprint
            }

            fn layers(&self) -> &'static [&'static str] {
                &["stem", "stages", "head"]
            }

            fn classifiers(&self) -> &'static [&'static str] {
                &["head.fc."]
            }

            fn gives_a_map(&self) -> bool {
                false
            }

            fn in_python(&self, _side: u32) -> Option<Vec<String>> {
                Some(vec![
                    "import timm".to_owned(),
                    format!("trunk = timm.create_model(\"convnext_{}\", num_classes=0)", $timm),
                ])
            }

            fn is_made_of_blocks(&self) -> bool {
                true
            }

            $crate::parts::backbone::has_weights!();
        }
    };
}

pub(super) use convnext_part;
