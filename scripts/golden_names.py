"""Tensors of backbones as other programs name them, and the features that those programs compute with them, for
scripts/golden.py or by itself: programs.json and outlines.json in src/dml/model/weights/testdata.

The numbers of the tensors follow from a formula of their place among the sorted names (see golden_backbones.py), so
that only names, shapes and results are stored. Where a program is not in a Python package, its names come from a table here
and its features from timm, which loads tensors with these names. Needs `timm==1.0.31` and `transformers==5.24.0`.
"""

import json
import pathlib
import re
import tempfile

import timm
import torch
import torchvision
import transformers
from safetensors.torch import load_file, save_file
from timm.models import convnext, eva, swin_transformer, vision_transformer

from golden_backbones import dinov2, filled, pattern, shortened

SIZES = {"s": {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}}


def saved(model):
    """The tensors as the program writes them into a file."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(pathlib.Path(folder) / "model.safetensors")


def numbers(tensors, zeros=()):
    """Numbers for tensors with these names, by the formula of golden_backbones.py."""
    found = {}
    for index, name in enumerate(sorted(tensors)):
        values = filled(name, tensors[name], index).float()
        found[name] = torch.zeros_like(values) if name.endswith(zeros) else values
    return found


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


def dinov3_of_authors(own):
    theirs = {}
    for name, tensor in own.items():
        name = name.replace("reg_token", "storage_tokens")
        theirs[re.sub(r"gamma_(\d)", r"ls\1.gamma", name)] = tensor
    width = own["cls_token"].shape[2]
    for name in list(theirs):
        if name.endswith("qkv.weight"):
            theirs[name.replace("weight", "bias")] = torch.zeros(3 * width)
            theirs[name.replace("weight", "bias_mask")] = torch.zeros(3 * width)
    theirs["mask_token"] = torch.zeros(1, width)
    theirs["rope_embed.periods"] = torch.zeros(16)
    return theirs


def clip_of_openai(own):
    """Under `visual.`, beside a tower of texts with layers of the same names."""
    theirs = {}
    for name, tensor in own.items():
        for ours, replaced in (
            ("cls_token", "class_embedding"), ("pos_embed", "positional_embedding"), ("patch_embed.proj", "conv1"),
            ("norm_pre", "ln_pre"), ("blocks.", "transformer.resblocks."), ("attn.qkv.", "attn.in_proj_"),
            ("attn.proj", "attn.out_proj"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"), (".norm", ".ln_"),
        ):
            name = name.replace(ours, replaced)
        if name.startswith("norm."):
            name = name.replace("norm", "ln_post")
        if name == "class_embedding":
            tensor = tensor[0, 0]
        if name == "positional_embedding":
            tensor = tensor[0]
        theirs["visual." + name] = tensor
    theirs["visual.proj"] = torch.zeros(768, 512)
    theirs["transformer.resblocks.0.ln_1.weight"] = torch.zeros(512)
    theirs["positional_embedding"] = torch.zeros(77, 512)
    theirs["logit_scale"] = torch.zeros(1)
    return theirs


def load_clip(tensors, model):
    loaded = vision_transformer.checkpoint_filter_fn(tensors, model)
    return {name: tensor for name, tensor in loaded.items() if not name.startswith("head.")}


def load_dinov3(tensors, model):
    return eva.checkpoint_filter_fn(tensors, model)


def convnext_of_authors(own):
    theirs = {}
    for name, tensor in own.items():
        name = re.sub(r"stages\.(\d)\.downsample", r"downsample_layers.\1", name)
        name = name.replace("stem.", "downsample_layers.0.").replace("blocks.", "").replace("head.norm", "norm")
        theirs[name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")] = tensor
    theirs["head.weight"] = torch.zeros(10, 768)
    theirs["head.bias"] = torch.zeros(10)
    return theirs


def load_convnext(tensors, model):
    loaded = convnext.checkpoint_filter_fn(tensors, model)
    return {name: tensor for name, tensor in loaded.items() if not name.startswith("head.fc.")}


def swin_of_authors(own):
    theirs = {}
    for name, tensor in own.items():
        shifted = re.sub(r"layers\.(\d)\.downsample", lambda found: f"layers.{int(found[1]) - 1}.downsample", name)
        theirs[shifted] = tensor
    theirs["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    theirs["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49)
    theirs["head.weight"] = torch.zeros(10, 768)
    return theirs


def load_swin(tensors, model):
    loaded = swin_transformer.checkpoint_filter_fn(tensors, model)
    return {name: tensor for name, tensor in loaded.items() if not name.startswith("head.")}


def of_torchvision(backbone, model, size, removed):
    tensors = numbers(model.state_dict(), ("relative_position_index",))
    index = {name: tensor for name, tensor in model.state_dict().items() if name.endswith("relative_position_index")}
    model.load_state_dict({**tensors, **index})
    setattr(model, *removed)
    with torch.no_grad():
        result = model.eval()(images(size))
    return written(backbone, {}, "torchvision", size, tensors, ("relative_position_index",), result.flatten(1))


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
    model = dinov2(384, 12, 6, 42, 4)
    load = vision_transformer.checkpoint_filter_fn
    yield of_authors("dinov2_s14", model, load, registers_of_authors, 42, four)
    dinov3 = transformers.DINOv3ViTConfig(**small, image_size=48, patch_size=16, num_register_tokens=4)
    biases = (".q_proj.bias", ".v_proj.bias")
    yield of_hugging_face("dinov3_s16", transformers.DINOv3ViTModel(dinov3), 48, class_token, zeros=biases)
    model = timm.create_model("vit_small_patch16_dinov3", num_classes=0, img_size=48, global_pool="token")
    yield of_authors("dinov3_s16", model, load_dinov3, dinov3_of_authors, 48, zeros=(".qkv.bias", "rope_embed.periods"))
    base = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "num_hidden_layers": 12,
            "attn_implementation": "eager"}
    clip = transformers.CLIPVisionConfig(**base, image_size=64, patch_size=32)
    yield of_hugging_face("clip_b32", transformers.CLIPVisionModel(clip), 64, lambda output: output.pooler_output)
    model = timm.create_model("vit_base_patch32_clip_quickgelu_224", num_classes=0, img_size=64)
    yield of_authors("clip_b32", model, load_clip, clip_of_openai, 64, program="OpenAI")
    siglip = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**base, image_size=32, patch_size=16))
    yield of_hugging_face("siglip_b16", siglip, 32, lambda output: output.pooler_output)
    model = transformers.ConvNextModel(transformers.ConvNextConfig(image_size=64))
    yield of_hugging_face("convnext_t", model, 64, lambda output: output.pooler_output)
    model = timm.create_model("convnext_tiny", num_classes=0)
    yield of_authors("convnext_t", model, load_convnext, convnext_of_authors, 64)
    identity = torch.nn.Identity()
    model = torchvision.models.convnext_tiny()
    yield of_torchvision("convnext_t", model, 64, ("classifier", torch.nn.Sequential(model.classifier[0])))
    model = transformers.SwinModel(transformers.SwinConfig(image_size=224, layer_norm_eps=1e-5))
    yield of_hugging_face("swin_t", model, 224, lambda output: output.pooler_output)
    model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0)
    yield of_authors("swin_t", model, load_swin, swin_of_authors, 224)
    yield of_torchvision("swin_t", torchvision.models.swin_t(), 72, ("head", identity))


def runs(tensors):
    """Names and shapes, with `#` for the last number of a name where tensors that differ in it alone have one shape."""
    numbers = {}
    for name, tensor in tensors.items():
        found = re.fullmatch(r"(.*\.)(\d+)(\..*)", name)
        pattern, number = (f"{found[1]}#{found[3]}", int(found[2])) if found else (name, 0)
        numbers.setdefault((pattern, tuple(tensor.shape)), []).append(number)
    return [[pattern, min(of), max(of), list(shape)] for (pattern, shape), of in sorted(numbers.items())]


def outline(backbone, program, tensors, blocks=None, settings=None):
    """The names and shapes of a network too large for its numbers, from one with two of its blocks if `blocks` is given."""
    names = runs(tensors)
    if blocks:
        names = [[pattern, first, blocks - 1 if last == 1 else last, shape] for pattern, first, last, shape in names]
    return {"name": backbone, "settings": settings or {}, "program": program, "tensors": names}


def giant_of_authors(registers):
    """The names that timm translates: `w12` and `w3` for the layers of SwiGLU."""
    name = "vit_giant_patch14_reg4_dinov2" if registers else "vit_giant_patch14_dinov2"
    model = timm.create_model(name, num_classes=0, depth=2)
    own = model.state_dict()
    theirs = {name.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3"): tensor for name, tensor in own.items()}
    theirs["mask_token"] = torch.zeros(1, 1536)
    if registers:
        theirs = registers_of_authors(theirs)
    translated = vision_transformer.checkpoint_filter_fn(dict(theirs), model)
    assert set(translated) == set(own)
    return theirs


def outlines():
    two = {"num_hidden_layers": 2, "attn_implementation": "eager"}
    base = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, **two}
    large = {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096, **two}
    giant = {"hidden_size": 1536, "num_attention_heads": 24, "use_swiglu_ffn": True, **two}
    four = {"registers": "four"}
    program = "transformers"
    vit = transformers.ViTConfig(**base, image_size=224, patch_size=16)
    yield outline("vit_b16", program, saved(transformers.ViTModel(vit)), 12)
    for backbone, size, blocks in [("dinov2_b14", base, 12), ("dinov2_l14", large, 24), ("dinov2_g14", giant, 40)]:
        plain = transformers.Dinov2Config(**size, image_size=518, patch_size=14)
        yield outline(backbone, program, saved(transformers.Dinov2Model(plain)), blocks)
        registers = transformers.Dinov2WithRegistersConfig(**size, image_size=518, patch_size=14)
        yield outline(backbone, program, saved(transformers.Dinov2WithRegistersModel(registers)), blocks, four)
    dinov3 = transformers.DINOv3ViTConfig(**base, image_size=224, patch_size=16, num_register_tokens=4)
    yield outline("dinov3_b16", program, saved(transformers.DINOv3ViTModel(dinov3)), 12)
    for backbone, size, patch, blocks in [("clip_b16", base, 16, 12), ("clip_l14", large, 14, 24)]:
        clip = transformers.CLIPVisionConfig(**size, image_size=224, patch_size=patch)
        yield outline(backbone, program, saved(transformers.CLIPVisionModel(clip)), blocks)
    convnext = transformers.ConvNextConfig(depths=[3, 3, 27, 3], hidden_sizes=[128, 256, 512, 1024])
    yield outline("convnext_b", program, saved(transformers.ConvNextModel(convnext)))
    swin = transformers.SwinConfig(embed_dim=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32])
    yield outline("swin_b", program, saved(transformers.SwinModel(swin)))
    yield outline("dinov2_g14", "authors", giant_of_authors(False), 40)
    yield outline("dinov2_g14", "authors", giant_of_authors(True), 40, four)
    yield outline("convnext_b", "torchvision", torchvision.models.convnext_base().state_dict())
    yield outline("swin_b", "torchvision", torchvision.models.swin_b().state_dict())


def main():
    folder = pathlib.Path(__file__).parent.parent / "src/dml/model/weights/testdata"
    folder.mkdir(exist_ok=True)
    for name, values in [("programs", cases()), ("outlines", outlines())]:
        (folder / f"{name}.json").write_text(json.dumps({"cases": list(values)}) + "\n")


if __name__ == "__main__":
    main()
