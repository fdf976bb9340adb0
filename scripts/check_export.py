"""Checks an exported network against other programs, by hand: `sweep export` and `sweep embed` of one run whose images
are squares.

    sweep export RUN --into network.safetensors
    sweep export RUN --into network.pt
    sweep embed RUN photos --into photos.npy
    scripts/check_export.py network photos 64 'torchvision.models.resnet18()'

The TorchScript module, the ONNX file that the lines of its card make, and the tensors in the library's model have to give
the embeddings of `sweep embed` to 1e-5. Without the library's model, which needs colored images and a linear head, the
first two are checked. Needs torch, onnxruntime, numpy and Pillow, and for the model torchvision and safetensors.
"""

import csv
import os
import pathlib
import re
import sys

import numpy
import onnxruntime
import PIL.Image
import torch

TOLERANCE = 1e-5
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def photos(folder, table, side, mode):
    """Returns the photos as bytes [n, channels, side, side], in the order of the table."""
    squares = []
    for row in csv.DictReader(open(table)):
        image = PIL.Image.open(folder / row["path"]).convert(mode).resize((side, side), PIL.Image.BILINEAR)
        squares.append(torch.from_numpy(numpy.array(image).reshape(side, side, -1)).permute(2, 0, 1))
    return torch.stack(squares)


def of_card(card):
    """Runs the lines of Python in a card as they are, where its file is, and returns what they define."""
    defined = {}
    here = os.getcwd()
    os.chdir(card.parent)
    try:
        for code in re.findall(r"```python\n(.*?)```", card.read_text(), re.DOTALL):
            exec(code, defined)
    finally:
        os.chdir(here)
    return defined


def from_onnx(path, images):
    (embeddings,) = onnxruntime.InferenceSession(path).run(None, {"images": images.numpy()})
    return torch.from_numpy(embeddings)


def from_tensors(path, call, images):
    import torchvision
    from safetensors.torch import load_file

    tensors = load_file(path)
    head = {key: tensors.pop(key) for key in list(tensors) if key.startswith("embedding.")}
    trunk = eval(call, {"torchvision": torchvision})
    trunk.fc = torch.nn.Identity()
    trunk.load_state_dict(tensors)
    features = trunk.eval()((images.float() / 255 - MEAN) / DEVIATION)
    embeddings = torch.nn.functional.linear(features, head["embedding.weight"], head["embedding.bias"])
    return torch.nn.functional.normalize(embeddings)


def main():
    network, name, side, *call = sys.argv[1:]
    expected = torch.from_numpy(numpy.load(f"{name}.npy"))
    card = of_card(pathlib.Path(f"{network}.md"))
    mode = {1: "L", 3: "RGB"}[card["images"].shape[1]]
    images = photos(pathlib.Path(name), f"{name}.csv", int(side), mode)
    with torch.no_grad():
        found = {"TorchScript": card["network"](images), "ONNX": from_onnx(f"{network}.onnx", images)}
        if call:
            found["safetensors"] = from_tensors(f"{network}.safetensors", call[0], images)
    for what, embeddings in found.items():
        difference = (embeddings - expected).abs().max().item()
        print(f"{what}: {len(images)} photos, largest difference {difference:.1e}")
        assert difference <= TOLERANCE, what


if __name__ == "__main__":
    main()
