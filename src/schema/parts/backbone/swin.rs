//! What all sizes of the Swin transformer have in common.

/// Pixels of a side that windows of every stage cover exactly.
pub(super) const COVERED: u32 = 224;

/// Declares one size, given its formula, timm's word for it, the width of its features and its memory.
macro_rules! swin_part {
    ($(#[$doc:meta])* $name:ident, $formula:literal, $timm:literal, $features:literal, $footprint:expr) => {
        $crate::parts::part::part! {
            $(#[$doc])*
            pub struct $name {
                /// Trained weights. Absent: random initial parameters.
                #[serde(skip_serializing_if = "Option::is_none")]
                weights: Option<$crate::Weights> = None,
            }
            formula: $formula,
            source: "Liu et al., ICCV 2021",
        }

        impl $crate::BackbonePart for $name {
            fn features(&self) -> Option<u32> {
                Some($features)
            }

            fn footprint(&self) -> $crate::Footprint {
                $footprint
            }

            fn layers(&self) -> &'static [&'static str] {
                &["patch_embed", "layers", "norm"]
            }

            fn classifiers(&self) -> &'static [&'static str] {
                &["head."]
            }

            fn prefers_channels_last(&self) -> bool {
                false
            }

            fn in_python(&self, side: u32) -> Option<Vec<String>> {
                // timm divides other images into smaller windows.
                side.is_multiple_of(COVERED).then(|| {
                    let name = concat!("swin_", $timm, "_patch4_window7_224");
                    vec![
                        "import timm".to_owned(),
                        format!(
                            "trunk = timm.create_model(\"{name}\", num_classes=0, img_size={side})"
                        ),
                    ]
                })
            }

            fn is_made_of_blocks(&self) -> bool {
                true
            }

            $crate::parts::backbone::has_weights!();
        }
    };
}

pub(super) use swin_part;
