"""Tensors of backbones as other programs name them, and the features that those programs compute with them, for
scripts/golden.py or by itself: src/dml/model/weights/testdata/programs.json.

The numbers of the tensors follow from a formula of their place among the sorted names (see golden_backbones.py), so that
only names, shapes and results are stored. Where a program is not in a Python package, its names come from a table here
and its features from timm, which loads tensors with these names. Needs `timm==1.0.31` and `transformers==5.24.0`.
"""

import json
import pathlib
import tempfile

import torch
import transformers
from safetensors.torch import load_file
from timm.models import vision_transformer

from golden_backbones import dinov2, pattern, shortened

SIZES = {"s": {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}}


def saved(model):
    """The tensors as the program writes them into a file."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(pathlib.Path(folder) / "model.safetensors")


def numbers(tensors, zeros=()):
    """Numbers for tensors with these names, by the formula of `fill` in golden_backbones.py."""
    filled = {}
    for index, name in enumerate(sorted(tensors)):
        tensor = tensors[name]
        values = pattern(tensor.numel(), index).view(tensor.shape)
        if name.endswith(zeros):
            values = values * 0.0
        elif tensor.dim() > 1:
            values = values * (3.0 / tensor[0].numel()) ** 0.5
        elif name.endswith(".weight"):
            values = 0.6 + 0.2 * values
        else:
            values = 0.1 * values
        filled[name] = values.float()
    return filled


def images(size):
    return pattern(4 * 3 * size * size, 1).view(4, 3, size, size).float()


def written(backbone, settings, program, size, tensors, zeros, features):
    return {
        "name": backbone,
        "settings": settings,
        "program": program,
        "size": size,
        "tensors": {name: list(tensor.shape) for name, tensor in sorted(tensors.items())},
        "zeros": sorted(name for name in tensors if zeros and name.endswith(zeros)),
        "features": shortened(features),
    }


def of_hugging_face(backbone, model, size, features, settings=None, zeros=()):
    """A model of transformers, with what it calls its features."""
    tensors = numbers(saved(model), zeros)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        from safetensors.torch import save_file
        save_file(tensors, pathlib.Path(folder) / "model.safetensors", metadata={"format": "pt"})
        model = type(model).from_pretrained(folder).float().eval()
    with torch.no_grad():
        result = features(model(pixel_values=images(size)))
    return written(backbone, settings or {}, "transformers", size, tensors, zeros, result)


def of_authors(backbone, model, load, names, size, settings=None, zeros=(), program="authors"):
    """A model of timm, and tensors with the authors' names, which timm's own `load` translates."""
    tensors = numbers(names(model.state_dict()), zeros)
    model.load_state_dict(load(dict(tensors), model), strict=True)
    with torch.no_grad():
        result = model.eval()(images(size))
    return written(backbone, settings or {}, program, size, tensors, zeros, result)


def registers_of_authors(own):
    own = dict(own)
    own["register_tokens"] = own.pop("reg_token")
    own["pos_embed"] = torch.zeros(1, own["pos_embed"].shape[1] + 1, own["pos_embed"].shape[2])
    own["mask_token"] = torch.zeros(1, own["cls_token"].shape[2])
    return own


def class_token(output):
    return output.last_hidden_state[:, 0]


def cases():
    small = {**SIZES["s"], "num_hidden_layers": 12, "attn_implementation": "eager"}
    four = {"registers": "four"}
    vit = transformers.ViTConfig(**small, image_size=48, patch_size=16)
    yield of_hugging_face("vit_s16", transformers.ViTModel(vit), 48, class_token)
    plain = transformers.Dinov2Config(**small, image_size=42, patch_size=14)
    yield of_hugging_face("dinov2_s14", transformers.Dinov2Model(plain), 42, class_token)
    registers = transformers.Dinov2WithRegistersConfig(**small, image_size=42, patch_size=14)
    yield of_hugging_face(
        "dinov2_s14", transformers.Dinov2WithRegistersModel(registers), 42, class_token, four)
    yield of_authors(
        "dinov2_s14", dinov2(384, 12, 6, 42, 4), vision_transformer.checkpoint_filter_fn, registers_of_authors, 42, four)


def main():
    path = pathlib.Path(__file__).parent.parent / "src/dml/model/weights/testdata/programs.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"cases": list(cases())}) + "\n")


if __name__ == "__main__":
    main()
