"""Golden values of backbones: features and gradients of torchvision's and timm's, for scripts/golden.py or by itself.

Weights follow from a formula of their place among the sorted names, so that only results are stored. Needs
`torchvision==0.26.0` and `timm==1.0.31`.
"""

import json
import pathlib

import timm
import torch
import torchvision
from timm.layers import resample_abs_pos_embed
from timm.layers.mlp import SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer

# The settings of a variant in a sweep file.
VARIANTS = {
    "registers": {"registers": "four"},
    "GELU": {"activation": "gelu"},
    "the mean": {"features": "mean"},
    "both": {"features": "class_and_mean", "registers": "four"},
}

CLASSIFIERS = ("fc.", "classifier.", "aux1.", "aux2.")


def vit(width, heads, size):
    return VisionTransformer(img_size=size, patch_size=16, embed_dim=width, num_heads=heads, num_classes=0)


def dinov2(width, depth, heads, size, registers=0):
    return VisionTransformer(
        img_size=size, patch_size=14, embed_dim=width, depth=depth, num_heads=heads, num_classes=0, init_values=1e-5,
        reg_tokens=registers, no_embed_class=registers > 0,
    )


def named(name, size, **options):
    return timm.create_model(name, num_classes=0, img_size=size, **options)


# For each: the model, pixels a side, and whether it has batch norms.
MODELS = {
    "resnet18": (lambda: torchvision.models.resnet18(), 64, True),
    "resnet34": (lambda: torchvision.models.resnet34(), 64, True),
    "resnet50": (lambda: torchvision.models.resnet50(), 64, True),
    "resnet101": (lambda: torchvision.models.resnet101(), 64, True),
    "googlenet": (lambda: torchvision.models.googlenet(init_weights=False, aux_logits=False), 64, True),
    "mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(), 64, True),
    "squeezenet": (lambda: torchvision.models.squeezenet1_1(), 65, False),
    "vit_s16": (lambda: vit(384, 6, 48), 48, False),
    "vit_b16": (lambda: vit(768, 12, 32), 32, False),
    "dinov2_s14": (lambda: dinov2(384, 12, 6, 42), 42, False),
    "dinov2_s14 with registers": (lambda: dinov2(384, 12, 6, 42, 4), 42, False),
    "dinov2_b14": (lambda: dinov2(768, 12, 12, 28), 28, False),
    "dinov2_l14": (lambda: dinov2(1024, 24, 16, 28), 28, False),
    "vit_s16 with the mean": (lambda: vit(384, 6, 48), 48, False),
    "dinov2_s14 with both": (lambda: dinov2(384, 12, 6, 42, 4), 42, False),
    "dinov3_s16": (lambda: named("vit_small_patch16_dinov3", 48, global_pool="token"), 48, False),
    "dinov3_b16": (lambda: named("vit_base_patch16_dinov3", 32, global_pool="token"), 32, False),
    "clip_b32": (lambda: named("vit_base_patch32_clip_quickgelu_224", 64), 64, False),
    "clip_b16": (lambda: named("vit_base_patch16_clip_quickgelu_224", 32), 32, False),
    "clip_b16 with GELU": (lambda: named("vit_base_patch16_clip_224", 32), 32, False),
    "clip_l14": (lambda: named("vit_large_patch14_clip_quickgelu_224", 28), 28, False),
    "siglip_b16": (lambda: named("vit_base_patch16_siglip_224", 32, act_layer="gelu_tanh"), 32, False),
    "convnext_t": (lambda: timm.create_model("convnext_tiny", num_classes=0), 64, False),
    "convnext_b": (lambda: timm.create_model("convnext_base", num_classes=0), 32, False),
    "swin_t": (lambda: named("swin_tiny_patch4_window7_224", 224), 224, False),
    "swin_b": (lambda: named("swin_base_patch4_window7_224", 224), 224, False),
}


def giant(width, depth, size):
    """DINOv2's giant made small, with its layers."""
    return VisionTransformer(
        img_size=size, patch_size=14, embed_dim=width, depth=depth, num_heads=width // 64, num_classes=0,
        init_values=1e-5, mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU, mlp_ratio=2 * swiglu(width) / width,
    )


def swiglu(width):
    """The width between the layers, as DINOv2 computes it."""
    return (int(4 * width * 2 / 3) + 7) // 8 * 8


def pattern(count, index):
    """Numbers between -1 and 1."""
    places = torch.arange(count, dtype=torch.int64)
    return ((places * 7919 + index * 104_729) % 2003 - 1001).double() / 1001.0


def fill(model):
    """Returns the names that it filled, sorted."""
    own = {name: tensor for name, tensor in model.state_dict().items()
           if not name.startswith(CLASSIFIERS) and not name.endswith("num_batches_tracked")}
    for index, name in enumerate(sorted(own)):
        own[name].copy_(filled(name, own[name], index))
    return sorted(own)


def filled(name, tensor, index):
    """Numbers for a tensor at this place among the sorted names."""
    numbers = pattern(tensor.numel(), index).view(tensor.shape)
    if name.endswith("running_var"):
        return 1.0 + 0.5 * numbers
    if tensor.dim() > 1:
        return numbers * (3.0 / tensor[0].numel()) ** 0.5
    if name.endswith(".weight"):
        return 0.6 + 0.2 * numbers
    return 0.1 * numbers


def features(model, name, images):
    if name == "googlenet":
        model.transform_input = False
    if name.endswith((" with the mean", " with both")):
        tokens = model.forward_features(images)
        mean = tokens[:, model.num_prefix_tokens:].mean(1)
        return torch.cat([tokens[:, 0], mean], 1) if name.endswith("both") else mean
    if hasattr(model, "num_features"):
        return model(images)
    if name in ("squeezenet", "mobilenet_v2"):
        return model.features(images).mean((2, 3))
    last = "fc"
    setattr(model, last, torch.nn.Identity())
    if name == "googlenet":
        model.dropout = torch.nn.Identity()
    return model(images)


def shortened(tensor):
    return [round(number, 9) for number in tensor.detach().double().flatten()[::17].tolist()]


def case(name, make, size, has_norms):
    torch.manual_seed(0)
    model = make().float()
    with torch.no_grad():
        names = fill(model)
    images = pattern(4 * 3 * size * size, 1).view(4, 3, size, size).float()
    model.eval()
    result = features(model, name, images)
    (result * pattern(result.numel(), 3).view_as(result)).sum().backward()
    gradients = {parameter: own.grad for parameter, own in model.named_parameters() if own.grad is not None}
    chosen = sorted(gradients)[:: max(1, len(gradients) // 7)]
    key, _, variant = name.partition(" with ")
    out = {
        "name": key,
        "settings": VARIANTS.get(variant, {}),
        "size": size,
        "tensors": len(names),
        "features": shortened(result),
        "gradients": {key: [gradients[key].double().norm().item(), *gradients[key].double().flatten()[:3].tolist()]
                      for key in chosen},
    }
    if has_norms:
        model.train()
        with torch.no_grad():
            out["train"] = shortened(features(model, name, images))
    return out


def positions():
    had = pattern(17 * 4, 5).view(1, 17, 4).float()
    return {"had": had.tolist(), "smaller": resample_abs_pos_embed(had, [3, 3]).tolist(),
            "larger": resample_abs_pos_embed(had, [6, 6]).tolist()}


def main():
    out = {"cases": [case(name, *model) for name, model in MODELS.items()], "positions": positions()}
    path = pathlib.Path(__file__).parent.parent / "src/dml/model/testdata/backbones.json"
    path.write_text(json.dumps(out) + "\n")
    small = {"cases": [case("giant", lambda: giant(128, 2, 42), 42, False)]}
    path.with_name("dinov2_giant.json").write_text(json.dumps(small) + "\n")


if __name__ == "__main__":
    main()
