"""Files as `torch.save` writes them, which the reader of `dml` must understand: src/dml/tensor_file/testdata/*.pth.

Files that exist are kept, because some contain addresses, which differ each time.
"""

import argparse
import collections
from pathlib import Path

import torch

# Before 1.6, PyTorch stored the source of a module and its path, which differs from machine to machine.
torch.serialization.get_source_lines_and_file = lambda module: (["source"], 1, f"{module.__name__}.py")

FOLDER = Path(__file__).resolve().parent.parent / "src/dml/tensor_file/testdata"


def tensors():
    """One tensor of each kind; the n-th number of each is n, as far as its type can hold it."""
    def count(*shape):
        return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).view(shape)

    both = count(2, 6)
    return collections.OrderedDict([
        ("float", count(2, 3)),
        ("double", count(3).double()),
        ("half", count(3).half()),
        ("bfloat16", count(3).bfloat16()),
        ("long", count(3).long()),
        ("scalar", torch.tensor(7.0)),
        ("empty", torch.zeros(0, 3)),
        ("parameter", torch.nn.Parameter(count(3))),
        # Columns, and a part of a storage that starts later.
        ("transposed", count(3, 2).t()),
        ("part", both[1:, 2:4]),
    ])


class Visual(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(3, 2)])
        self.proj = torch.nn.Parameter(torch.arange(4).view(2, 2).float())

    def forward(self, images):
        return self.layers[0](images) @ self.proj


class Tower(torch.nn.Module):
    """In half precision, as OpenAI's files of CLIP are."""

    def __init__(self):
        super().__init__()
        self.visual = Visual()
        with torch.no_grad():
            for parameter in self.visual.layers[0].parameters():
                parameter.copy_(torch.arange(parameter.numel()).view(parameter.shape))
        self.half()

    def forward(self, images):
        return self.visual(images)


def save(value, name, **options):
    path = FOLDER / name
    if not path.exists():
        torch.save(value, path, **options)


def write_all():
    FOLDER.mkdir(exist_ok=True)
    before = {"_use_new_zipfile_serialization": False}
    checkpoint = {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, layers=[2, 2]),
        "state_dict": tensors(),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(1)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    }
    save(checkpoint, "checkpoint.pth")
    save(checkpoint, "checkpoint_before_1.6.pth", **before)
    save(torch.nn.Linear(2, 1), "module.pth")
    save(torch.nn.Linear(2, 1), "module_before_1.6.pth", **before)
    save(torch.zeros(2), "one_tensor.pth")
    if not (FOLDER / "torchscript.pt").exists():
        torch.jit.script(Tower()).save(FOLDER / "torchscript.pt")


if __name__ == "__main__":
    write_all()
