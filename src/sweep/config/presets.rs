//! Settings of published recipes, for `extends = ["presets/NAME"]`. Their files say what they come from and where they
//! differ; data set and backbone are the sweep's own choice unless they say so.

/// The presets: name and text.
const PRESETS: [(&str, &str); 8] = [
    ("deep_metric", include_str!("presets/deep_metric.toml")),
    (
        "image_retrieval_2025",
        include_str!("presets/image_retrieval_2025.toml"),
    ),
    (
        "multi_similarity",
        include_str!("presets/multi_similarity.toml"),
    ),
    ("proxy_anchor", include_str!("presets/proxy_anchor.toml")),
    ("proxy_nca_pp", include_str!("presets/proxy_nca_pp.toml")),
    ("reality_check", include_str!("presets/reality_check.toml")),
    ("recall_at_k", include_str!("presets/recall_at_k.toml")),
    ("xbm", include_str!("presets/xbm.toml")),
];

/// The names of all.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// The text of one.
pub fn text(name: &str) -> Option<&'static str> {
    PRESETS
        .iter()
        .find(|(candidate, _)| *candidate == name)
        .map(|(_, text)| *text)
}
