//! The names of other programs for the tensors of vision transformers, whose own names are timm's.

use crate::model::weights::naming::{Made, Naming, Unneeded};

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
    unneeded: &[],
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

/// The layers of SwiGLU in DINOv2 as its authors name them.
const AUTHORS_GIANT: Naming = Naming {
    parts: &[
        (".mlp.fc1.", Made::Of(".mlp.w12.")),
        (".mlp.fc2.", Made::Of(".mlp.w3.")),
    ],
    ..Naming::OWN
};

const AUTHORS_GIANT_REGISTERS: Naming = Naming {
    parts: AUTHORS_GIANT.parts,
    ..AUTHORS_REGISTERS
};

/// The same in Hugging Face's transformers.
const HUGGING_FACE_GIANT: Naming = Naming {
    parts: &[
        (".attn.qkv.", QUERIES_KEYS_VALUES),
        (".attn.proj.", Made::Of(".attention.output.dense.")),
        (".ls1.gamma", Made::Of(".layer_scale1.lambda1")),
        (".ls2.gamma", Made::Of(".layer_scale2.lambda1")),
        (".mlp.fc1.", Made::Of(".mlp.weights_in.")),
        (".mlp.fc2.", Made::Of(".mlp.weights_out.")),
    ],
    ..HUGGING_FACE_DINOV2
};

const HUGGING_FACE_GIANT_REGISTERS: Naming = Naming {
    parts: HUGGING_FACE_GIANT.parts,
    ..HUGGING_FACE_REGISTERS
};

/// DINOv3 as timm names it, where the biases of queries and values, which are zero, may be there.
const TIMM_DINOV3: Naming = Naming {
    unneeded: &[
        (".attn.q_bias", Unneeded::IfZero),
        (".attn.v_bias", Unneeded::IfZero),
    ],
    ..Naming::OWN
};

/// DINOv3 as its authors name it. The bias of keys is masked.
const AUTHORS_DINOV3: Naming = Naming {
    whole: &[("reg_token", Made::Of("storage_tokens"))],
    starts: &[],
    parts: &[
        (".gamma_1", Made::Of(".ls1.gamma")),
        (".gamma_2", Made::Of(".ls2.gamma")),
    ],
    beside: &["rope_embed.", "local_cls_norm."],
    unneeded: &[
        (".attn.qkv.bias", Unneeded::IfZeroButForKeys),
        (".attn.qkv.bias_mask", Unneeded::Always),
    ],
};

/// DINOv3 in Hugging Face's transformers.
const HUGGING_FACE_DINOV3: Naming = Naming {
    whole: &[
        ("cls_token", Made::Of("embeddings.cls_token")),
        ("reg_token", Made::Of("embeddings.register_tokens")),
    ],
    starts: &[
        ("patch_embed.proj.", "embeddings.patch_embeddings."),
        ("blocks.", "layer."),
    ],
    parts: &[
        (
            ".attn.qkv.",
            Made::Joined(&[
                ".attention.q_proj.",
                ".attention.k_proj.",
                ".attention.v_proj.",
            ]),
        ),
        (".attn.proj.", Made::Of(".attention.o_proj.")),
        (".gamma_1", Made::Of(".layer_scale1.lambda1")),
        (".gamma_2", Made::Of(".layer_scale2.lambda1")),
        (".mlp.fc1.", Made::Of(".mlp.up_proj.")),
        (".mlp.fc2.", Made::Of(".mlp.down_proj.")),
    ],
    beside: &["embeddings.mask_token", "rope_embeddings."],
    unneeded: &[
        (".attention.q_proj.bias", Unneeded::IfZero),
        (".attention.v_proj.bias", Unneeded::IfZero),
    ],
};

/// The image tower of CLIP as OpenAI and OpenCLIP name it.
const AUTHORS_CLIP: Naming = Naming {
    whole: &[
        ("cls_token", Made::Of("class_embedding")),
        ("pos_embed", Made::Of("positional_embedding")),
    ],
    starts: &[
        ("patch_embed.proj.", "conv1."),
        ("norm_pre.", "ln_pre."),
        ("blocks.", "transformer.resblocks."),
        ("norm.", "ln_post."),
    ],
    parts: &[
        (".attn.qkv.", Made::Of(".attn.in_proj_")),
        (".attn.proj.", Made::Of(".attn.out_proj.")),
        (".mlp.fc1.", Made::Of(".mlp.c_fc.")),
        (".mlp.fc2.", Made::Of(".mlp.c_proj.")),
        (".norm1.", Made::Of(".ln_1.")),
        (".norm2.", Made::Of(".ln_2.")),
    ],
    beside: &["proj"],
    unneeded: &[],
};

/// The image tower of SigLIP in Hugging Face's transformers.
const HUGGING_FACE_SIGLIP: Naming = Naming {
    whole: &[
        (
            "pos_embed",
            Made::Of("embeddings.position_embedding.weight"),
        ),
        ("attn_pool.latent", Made::Of("head.probe")),
        (
            "attn_pool.q.weight",
            Made::Thirds("head.attention.in_proj_weight", 0..1),
        ),
        (
            "attn_pool.q.bias",
            Made::Thirds("head.attention.in_proj_bias", 0..1),
        ),
        (
            "attn_pool.kv.weight",
            Made::Thirds("head.attention.in_proj_weight", 1..3),
        ),
        (
            "attn_pool.kv.bias",
            Made::Thirds("head.attention.in_proj_bias", 1..3),
        ),
    ],
    starts: &[
        ("patch_embed.proj.", "embeddings.patch_embedding."),
        ("blocks.", "encoder.layers."),
        ("norm.", "post_layernorm."),
        ("attn_pool.proj.", "head.attention.out_proj."),
        ("attn_pool.norm.", "head.layernorm."),
        ("attn_pool.mlp.", "head.mlp."),
    ],
    parts: &[
        (
            ".attn.qkv.",
            Made::Joined(&[
                ".self_attn.q_proj.",
                ".self_attn.k_proj.",
                ".self_attn.v_proj.",
            ]),
        ),
        (".attn.proj.", Made::Of(".self_attn.out_proj.")),
        (".norm1.", Made::Of(".layer_norm1.")),
        (".norm2.", Made::Of(".layer_norm2.")),
    ],
    beside: &["embeddings.position_ids"],
    unneeded: &[],
};

/// The image tower of CLIP in Hugging Face's transformers.
const HUGGING_FACE_CLIP: Naming = Naming {
    whole: &[
        ("cls_token", Made::Of("embeddings.class_embedding")),
        (
            "pos_embed",
            Made::Of("embeddings.position_embedding.weight"),
        ),
    ],
    starts: &[
        ("patch_embed.proj.", "embeddings.patch_embedding."),
        ("norm_pre.", "pre_layrnorm."),
        ("blocks.", "encoder.layers."),
        ("norm.", "post_layernorm."),
    ],
    ..HUGGING_FACE_SIGLIP
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

/// Of DINOv2 with SwiGLU.
pub(super) const DINOV2_GIANT: &[Naming] = &[
    Naming::OWN,
    AUTHORS_GIANT,
    AUTHORS_GIANT_REGISTERS,
    HUGGING_FACE_GIANT,
    HUGGING_FACE_GIANT_REGISTERS,
];

/// Of DINOv3.
pub(super) const DINOV3: &[Naming] = &[TIMM_DINOV3, AUTHORS_DINOV3, HUGGING_FACE_DINOV3];

/// Of the image tower of CLIP.
pub(super) const CLIP: &[Naming] = &[Naming::OWN, AUTHORS_CLIP, HUGGING_FACE_CLIP];

/// Of the image tower of SigLIP.
pub(super) const SIGLIP: &[Naming] = &[Naming::OWN, HUGGING_FACE_SIGLIP];
