//! The names of other programs for the tensors of vision transformers, whose own names are timm's.

use crate::model::weights::naming::{Made, Naming};

/// ViT, DINO and DeiT in Hugging Face's transformers.
const HUGGING_FACE: Naming = Naming {
    whole: &[
        ("cls_token", Made::Of("embeddings.cls_token")),
        ("pos_embed", Made::Of("embeddings.position_embeddings")),
    ],
    starts: &[
        (
            "patch_embed.proj.",
            "embeddings.patch_embeddings.projection.",
        ),
        ("blocks.", "encoder.layer."),
        ("norm.", "layernorm."),
    ],
    parts: &[
        (".attn.qkv.", QUERIES_KEYS_VALUES),
        (".attn.proj.", Made::Of(".attention.output.dense.")),
        (".mlp.fc1.", Made::Of(".intermediate.dense.")),
        (".mlp.fc2.", Made::Of(".output.dense.")),
        (".norm1.", Made::Of(".layernorm_before.")),
        (".norm2.", Made::Of(".layernorm_after.")),
    ],
    beside: &["pooler.", "classifier.", "embeddings.mask_token"],
};

const QUERIES_KEYS_VALUES: Made = Made::Joined(&[
    ".attention.attention.query.",
    ".attention.attention.key.",
    ".attention.attention.value.",
]);

/// DINOv2 in Hugging Face's transformers.
const HUGGING_FACE_DINOV2: Naming = Naming {
    parts: &[
        (".attn.qkv.", QUERIES_KEYS_VALUES),
        (".attn.proj.", Made::Of(".attention.output.dense.")),
        (".ls1.gamma", Made::Of(".layer_scale1.lambda1")),
        (".ls2.gamma", Made::Of(".layer_scale2.lambda1")),
    ],
    ..HUGGING_FACE
};

/// The same with registers, where a class token has a position in the file and none in the network.
const HUGGING_FACE_REGISTERS: Naming = Naming {
    whole: &[
        (
            "cls_token",
            Made::TokenAt("embeddings.cls_token", "embeddings.position_embeddings"),
        ),
        ("reg_token", Made::Of("embeddings.register_tokens")),
        (
            "pos_embed",
            Made::WithoutFirst("embeddings.position_embeddings"),
        ),
    ],
    ..HUGGING_FACE_DINOV2
};

/// DINOv2 with registers as its authors name it. Without registers, their names are the network's.
const AUTHORS_REGISTERS: Naming = Naming {
    whole: &[
        ("cls_token", Made::TokenAt("cls_token", "pos_embed")),
        ("reg_token", Made::Of("register_tokens")),
        ("pos_embed", Made::WithoutFirst("pos_embed")),
    ],
    ..Naming::OWN
};

/// Of ViT, DINO and DeiT.
pub(super) const PLAIN: &[Naming] = &[Naming::OWN, HUGGING_FACE];

/// Of DINOv2.
pub(super) const DINOV2: &[Naming] = &[
    Naming::OWN,
    AUTHORS_REGISTERS,
    HUGGING_FACE_DINOV2,
    HUGGING_FACE_REGISTERS,
];
