"""Writes src/dml/testdata/scripts/*.pt: the losses and the miner of sweeps/losses, and modules for tests.

Called by golden.py. The archives hold times, so that they differ in some bytes each time.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
INTO = ROOT / "src/dml/testdata/scripts"


class ReturnsPairs(torch.nn.Module):
    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        return batch["embeddings"] @ batch["references"].t()


class ReturnsLabels(torch.nn.Module):
    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        return batch["labels"]


class HasAParameter(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.margin = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        return batch["embeddings"].sum() * self.margin


class ParameterIsAnInput(torch.nn.Module):
    @torch.jit.export
    def initial_parameters(self, classes: int, width: int) -> Dict[str, Tensor]:
        return {"labels": torch.zeros(classes, width)}

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        return batch["labels"].sum()


class DependsOnTheOrder(torch.nn.Module):
    """Compares each image with the next one of the batch only."""

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        embeddings, labels = batch["embeddings"], batch["labels"]
        similarity = (embeddings * embeddings.roll(1, 0)).sum(1)
        return torch.where(labels == labels.roll(1, 0), 1 - similarity, (similarity - 0.5).relu())


class HasNoGradient(torch.nn.Module):
    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        return (batch["embeddings"].detach() @ batch["references"].detach().t()).sum(1)


class IsRandom(torch.nn.Module):
    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        return (batch["embeddings"] * torch.rand_like(batch["embeddings"])).sum(1)


class ChoosesItself(torch.nn.Module):
    def forward(self, batch: Dict[str, Tensor]):
        images = torch.arange(batch["labels"].size(0))
        return images, images, images


class ThresholdConsistentMargin(torch.nn.Module):
    """The loss of that name in pytorch-metric-learning, which is contrastive on cosine similarity."""

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        cosine = batch["embeddings"] @ batch["references"].t()
        same = batch["labels"][:, None] == batch["reference_labels"][None, :]
        places = torch.arange(same.size(1), device=same.device)
        positive = same & (places[None, :] != batch["own"][:, None]) & (cosine <= 0.9)
        negative = ~same & (cosine >= 0.5)
        pull = ((0.9 - cosine) * positive).sum() / positive.sum().clamp(min=1)
        push = ((cosine - 0.5) * negative).sum() / negative.sum().clamp(min=1)
        return pull + push


class TakesTwoTensors(torch.nn.Module):
    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return embeddings.mean() * labels.size(0)


class IsNotANumber(torch.nn.Module):
    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        return batch["embeddings"].sum() * float("nan")


RIGHT = {"threshold_consistent_margin": ThresholdConsistentMargin}

WRONG = {
    "returns_pairs": ReturnsPairs,
    "returns_labels": ReturnsLabels,
    "has_a_parameter": HasAParameter,
    "parameter_is_an_input": ParameterIsAnInput,
    "depends_on_the_order": DependsOnTheOrder,
    "has_no_gradient": HasNoGradient,
    "is_random": IsRandom,
    "chooses_itself": ChoosesItself,
    "takes_two_tensors": TakesTwoTensors,
    "is_not_a_number": IsNotANumber,
}


def write_scripts():
    INTO.mkdir(parents=True, exist_ok=True)
    for name, module in (RIGHT | WRONG).items():
        torch.jit.script(module()).save(str(INTO / f"{name}.pt"))
    with tempfile.TemporaryDirectory() as folder:
        for file in sorted((ROOT / "sweeps/losses").glob("*.py")):
            subprocess.check_call([sys.executable, "-W", "ignore", file], cwd=folder)
        for file in Path(folder).glob("*.pt"):
            shutil.copy(file, INTO)
