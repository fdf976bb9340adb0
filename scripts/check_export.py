"""Checks an exported network against Python's libraries, by hand: `sweep export` and `sweep embed` of one run whose
images are colored squares and whose head is linear.

    sweep export RUN --into network.safetensors
    sweep export RUN --into network.pt
    sweep embed RUN photos --into photos.npy
    scripts/check_export.py network photos 'torchvision.models.resnet18()' 64

The tensors in the library's model and the TorchScript module have to give the embeddings of `sweep embed` to 1e-5. Needs torch, torchvision, safetensors, numpy and Pillow.
"""

import csv
import pathlib
import sys

import numpy
import PIL.Image
import torch
import torchvision
from safetensors.torch import load_file

TOLERANCE = 1e-5
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def photos(folder, table, side):
    """Returns the photos as bytes [n, 3, side, side], in the order of the table."""
    squares = []
    for row in csv.DictReader(open(table)):
        image = PIL.Image.open(folder / row["path"]).convert("RGB").resize((side, side), PIL.Image.BILINEAR)
        squares.append(torch.from_numpy(numpy.array(image)).permute(2, 0, 1))
    return torch.stack(squares)


def from_tensors(path, call, images):
    tensors = load_file(path)
    head = {key: tensors.pop(key) for key in list(tensors) if key.startswith("embedding.")}
    trunk = eval(call, {"torchvision": torchvision})
    trunk.fc = torch.nn.Identity()
    trunk.load_state_dict(tensors)
    features = trunk.eval()((images.float() / 255 - MEAN) / DEVIATION)
    embeddings = torch.nn.functional.linear(features, head["embedding.weight"], head["embedding.bias"])
    return torch.nn.functional.normalize(embeddings)


def main():
    network, name, call, side = sys.argv[1:]
    expected = torch.from_numpy(numpy.load(f"{name}.npy"))
    module = torch.jit.load(f"{network}.pt")
    images = photos(pathlib.Path(name), f"{name}.csv", int(side))
    with torch.no_grad():
        found = {"safetensors": from_tensors(f"{network}.safetensors", call, images), "TorchScript": module(images)}
    for what, embeddings in found.items():
        difference = (embeddings - expected).abs().max().item()
        print(f"{what}: {len(images)} photos, largest difference {difference:.1e}")
        assert difference <= TOLERANCE, what


if __name__ == "__main__":
    main()
