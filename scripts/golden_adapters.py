"""Golden values of low-rank adapters: features, gradients and merged weights of peft's LoRA on models of timm, for
scripts/golden.py or by itself: src/dml/model/testdata/adapters.json.

Weights and adapters follow from a formula of their place among the sorted names, as in golden_backbones.py. Needs
`timm==1.0.31` and `peft==0.21.2`.
"""

import json
import pathlib
import re

import torch
from peft import LoraConfig, get_peft_model

from golden_backbones import MODELS, fill, filled, pattern, shortened

RANK, ALPHA = 3, 5.0
# The linear layers of each block, and not the convolution of patches, which has the name of a projection.
ADAPTED = r".*blocks\.\d+\.(attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)"
BACKBONES = ["vit_s16", "dinov3_s16", "convnext_t", "swin_t"]
IMAGES = 2


def own_name(name):
    """The name that the parameter of an adapter has here."""
    return re.sub(r"\.lora_([AB])\.default\.weight", lambda found: f".lora_{found[1].lower()}", name.removeprefix("base_model.model."))


def some(tensor):
    tensor = tensor.detach().double()
    return [tensor.norm().item(), *tensor.flatten()[:3].tolist()]


def chosen(tensors):
    return {name: some(tensors[name]) for name in sorted(tensors)[:: max(1, len(tensors) // 7)]}


def case(name):
    make, size, _ = MODELS[name]
    torch.manual_seed(0)
    model = make().float().eval()
    with torch.no_grad():
        fill(model)
    settings = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=ADAPTED)
    model = get_peft_model(model, settings)
    adapters = {own_name(of): tensor for of, tensor in model.named_parameters() if tensor.requires_grad}
    with torch.no_grad():
        for index, of in enumerate(sorted(adapters)):
            adapters[of].copy_(filled(of, adapters[of], index))
    images = pattern(IMAGES * 3 * size * size, 1).view(IMAGES, 3, size, size).float()
    features = model(images)
    (features * pattern(features.numel(), 3).view_as(features)).sum().backward()
    gradients = {of: tensor.grad for of, tensor in adapters.items()}
    merged = model.merge_and_unload()
    weights = {of: tensor for of, tensor in merged.state_dict().items() if re.fullmatch(ADAPTED + r"\.weight", of)}
    return {
        "name": name,
        "size": size,
        "adapters": len(adapters),
        "features": shortened(features),
        "gradients": chosen(gradients),
        "merged": chosen(weights),
    }


def write_all(write):
    write("model", "adapters", {"rank": RANK, "alpha": ALPHA, "images": IMAGES, "cases": [case(name) for name in BACKBONES]})


def main():
    def write(part, name, values):
        path = pathlib.Path(__file__).parent.parent / "src/dml" / part / "testdata" / f"{name}.json"
        path.write_text(json.dumps(values) + "\n")

    write_all(write)


if __name__ == "__main__":
    main()
