#!/usr/bin/env python3
"""Writes the golden values that the tests of `dml` compare with: src/dml/*/testdata/*.json.

The values come from PyTorch and pytorch-metric-learning, in double precision unless said otherwise. Run it as
`make golden` or `python3 scripts/golden.py`; it makes its own environment, `.venv-golden`, the first time.
The result is the same each time: inputs are fixed, rounded numbers. Another processor rounds the last digits otherwise;
`scripts/golden_compare.py` says by how much files differ from those that are committed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-golden"
PACKAGES = ["torch==2.11.0", "numpy==2.4.6", "pytorch-metric-learning==2.9.0", "scipy==1.17.1"]
PACKAGES += ["torchvision==0.26.0", "timm==1.0.31", "transformers==5.24.0", "pillow==13.0.0"]
PACKAGES += ["peft==0.21.2"]
PACKAGES += ["scikit-learn==1.9.1", "faiss-cpu==1.15.1"]
PACKAGES += ["statsmodels==0.15.0", "baycomp==1.0.3", "optuna==5.0.0"]


def enter_environment():
    """Continues in the environment that has the packages, made if need be."""
    if Path(sys.prefix) == VENV:
        return
    if not (VENV / "complete").exists():
        subprocess.check_call([sys.executable, "-m", "venv", VENV])
        subprocess.check_call([VENV / "bin/python", "-m", "pip", "install", "--quiet", *PACKAGES])
        (VENV / "complete").touch()
    os.execv(VENV / "bin/python", [str(VENV / "bin/python"), __file__])


enter_environment()

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses, miners

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
random = np.random.default_rng(20200831)


def normal(*shape):
    """Numbers with three decimals: JSON holds them exactly."""
    return random.standard_normal(shape).round(3)


def write(part, name, values):
    path = ROOT / "src/dml" / part / "testdata" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    lines = ",\n".join(f"{json.dumps(key)}: {lines_of(value)}" for key, value in values.items())
    path.write_text("{\n" + lines + "\n}\n")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


def lines_of(value):
    """One line for each case of a list of cases, one line for anything else."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(json.dumps(case) for case in value) + "\n]"
    return json.dumps(value)


LOSSES = {
    "contrastive": (
        losses.ContrastiveLoss,
        [
            {"pos_margin": 0.0, "neg_margin": 1.0},
            {"pos_margin": 0.25, "neg_margin": 0.75},
            {"pos_margin": -0.1, "neg_margin": 1.6},
        ],
    ),
    "triplet": (losses.TripletMarginLoss, [{"margin": 0.05}, {"margin": 0.0}, {"margin": 0.7}]),
    "multi_similarity": (
        losses.MultiSimilarityLoss,
        [
            {"alpha": 2.0, "beta": 50.0, "base": 0.5},
            {"alpha": 18.0, "beta": 75.0, "base": 0.77},
            {"alpha": 0.01, "beta": 0.5, "base": 0.0},
        ],
    ),
}

MINERS = {
    "none": lambda: None,
    "semi_hard": lambda: miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard"),
    "multi_similarity": lambda: miners.MultiSimilarityMiner(epsilon=0.1),
}


def each_setting():
    for loss, (make, settings) in LOSSES.items():
        for setting in settings:
            for miner, make_miner in MINERS.items():
                yield {"loss": loss, "settings": setting, "miner": miner}, make(**setting), make_miner()


def losses_in_batch():
    """Value and gradient with respect to embeddings before they are normalised."""
    raw, labels = normal(12, 5), [0, 1, 2, 0, 1, 2, 0, 1, 3, 3, 0, 4]
    cases = []
    for case, loss, miner in each_setting():
        embeddings = torch.tensor(raw, requires_grad=True)
        targets = torch.tensor(labels)
        mined = miner(embeddings, targets) if miner else None
        value = loss(embeddings, targets, mined)
        value.backward()
        cases.append({**case, "value": value.item(), "gradient": embeddings.grad.tolist()})
    write("loss", "batch", {"embeddings": raw.tolist(), "labels": labels, "cases": cases})


def losses_with_memory():
    """Batch plus memory for three steps: the memory of 20 is filled, and wraps, in the third batch of 8."""
    raw, weight, size = normal(3, 8, 5), 0.5, 20
    labels = [[0, 0, 1, 1, 2, 2, 3, 3], [4, 4, 1, 1, 0, 0, 5, 5], [2, 2, 4, 4, 3, 3, 1, 1]]
    cases = []
    for case, loss, miner in each_setting():
        memory = losses.CrossBatchMemory(loss, 5, memory_size=size, miner=miner)
        steps = []
        for batch, targets in zip(raw, labels):
            embeddings, targets = torch.tensor(batch, requires_grad=True), torch.tensor(targets)
            mined = miner(embeddings, targets) if miner else None
            value = loss(embeddings, targets, mined) + weight * memory(embeddings, targets)
            value.backward()
            steps.append({"value": value.item(), "gradient": embeddings.grad.tolist()})
        cases.append({**case, "steps": steps})
    write(
        "loss",
        "memory",
        {"embeddings": raw.tolist(), "labels": labels, "size": size, "weight": weight, "cases": cases},
    )


def mined():
    """What miners choose: within a batch, and against other embeddings."""
    batch, labels = normal(14, 4), [0, 1, 2, 0, 1, 2, 0, 1, 3, 3, 0, 4, 3, 2]
    references, reference_labels = normal(9, 4), [0, 1, 2, 5, 3, 0, 1, 2, 5]
    chosen = []
    for name, make, key, numbers in [
        ("semi_hard", lambda m: miners.TripletMarginMiner(m, "semihard"), "margin", [0.2, 0.05, 2.0]),
        ("multi_similarity", lambda e: miners.MultiSimilarityMiner(e), "epsilon", [0.1, 0.0, 0.6]),
    ]:
        for number in numbers:
            miner = make(number)
            own = miner(torch.tensor(batch), torch.tensor(labels))
            other = miner(
                torch.tensor(batch),
                torch.tensor(labels),
                torch.tensor(references),
                torch.tensor(reference_labels),
            )
            lists = lambda tuples: [indices.tolist() for indices in tuples]
            chosen.append({"miner": name, "settings": {key: number}, "batch": lists(own), "references": lists(other)})
    values = {"embeddings": batch.tolist(), "labels": labels}
    values |= {"references": references.tolist(), "reference_labels": reference_labels, "cases": chosen}
    write("miner", "chosen", values)


def optimisers():
    """Twenty steps with given gradients."""
    start, gradients = normal(5), normal(20, 5)
    gradients[:, 3] *= 1e-4
    gradients[5:9, 4] = 0.0
    cases = []
    for name, make, settings in [
        ("adam", torch.optim.Adam, {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}),
        ("adam", torch.optim.Adam, {"lr": 0.1, "betas": [0.5, 0.9], "eps": 1e-3, "weight_decay": 0.01}),
        ("sgd", torch.optim.SGD, {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0}),
        ("sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}),
    ]:
        parameters = torch.tensor(start, requires_grad=True)
        optimiser = make([parameters], foreach=False, **settings)
        path = []
        for gradient in gradients:
            parameters.grad = torch.tensor(gradient)
            optimiser.step()
            path.append(parameters.tolist())
        cases.append({"rule": name, "settings": settings, "path": path})
    write("optim", "steps", {"start": start.tolist(), "gradients": gradients.tolist(), "cases": cases})


def pattern(count, index, bound):
    """Numbers between -bound and bound that look disordered; the tests have the same formula."""
    numbers = (np.arange(count) * 7919 + index * 104729) % 2003
    return torch.tensor(((numbers - 1001.0) / 1001.0 * bound).astype(np.float32))


class Conv4(torch.nn.Module):
    def __init__(self, channels, embedding):
        super().__init__()
        blocks = []
        for inputs in [channels, 64, 64, 64]:
            blocks += [
                torch.nn.Conv2d(inputs, 64, 3, padding=1, bias=False),
                torch.nn.BatchNorm2d(64),
                torch.nn.ReLU(),
                torch.nn.MaxPool2d(2),
            ]
        self.trunk = torch.nn.Sequential(*blocks)
        self.head = torch.nn.Linear(64, embedding) if embedding else torch.nn.Identity()
        for index, parameter in enumerate(self.parameters()):
            # A scale of batch norm comes right after a convolution; keep it away from 0.
            is_scale = parameter.dim() == 1 and index % 3 == 1 and index < 12
            bound = 0.2 if parameter.dim() == 1 else parameter[0].numel() ** -0.5
            parameter.data = pattern(parameter.numel(), index, bound).reshape(parameter.shape) + float(is_scale)

    def forward(self, images):
        return F.normalize(self.head(self.trunk(images / 255.0).mean((2, 3))))


def networks():
    """Single precision. The loss is the sum of embeddings weighted with the pattern."""
    cases = []
    for channels, size, embedding in [(1, 28, 8), (3, 20, None)]:
        network = Conv4(channels, embedding)
        count = 4 * channels * size * size
        images = torch.tensor((np.arange(count) * 31 + np.arange(count) // 97) % 256, dtype=torch.uint8)
        images = images.reshape(4, channels, size, size)
        trained = network.train()(images)
        (trained * pattern(trained.numel(), 100, 1.0).reshape(trained.shape)).sum().backward()
        gradients = [parameter.grad.double() for parameter in network.parameters()]
        statistics = [
            buffer
            for module in network.modules()
            if isinstance(module, torch.nn.BatchNorm2d)
            for buffer in (module.running_mean, module.running_var)
        ]
        with torch.no_grad():
            evaluated = network.eval()(images)
        case = {"channels": channels, "image_size": size, "embedding": embedding}
        case |= {"train": trained.tolist(), "eval": evaluated.tolist()}
        case |= {"statistics": torch.cat(statistics).tolist()}
        case |= {"gradient_norms": [gradient.norm().item() for gradient in gradients]}
        case |= {"gradient_firsts": [gradient.flatten()[0].item() for gradient in gradients]}
        cases.append(case)
    write("model", "conv4", {"cases": cases})


losses_in_batch()
losses_with_memory()
mined()
optimisers()
networks()

from golden_miners import write_rules  # noqa: E402 (needs the environment)

write_rules(write)

import golden_proxies  # noqa: E402 (needs the environment)

golden_proxies.write_all(write)

import golden_training  # noqa: E402 (needs the environment)

golden_training.write_all(write)

import golden_pairs  # noqa: E402 (needs the environment)

golden_pairs.pair_losses(write)

import golden_statistics  # noqa: E402 (needs the environment)

golden_statistics.write_all()

import golden_importance  # noqa: E402 (needs the environment)

golden_importance.write_all()

import golden_backbones  # noqa: E402 (needs the environment)

golden_backbones.main()

import golden_adapters  # noqa: E402 (needs the environment)

golden_adapters.write_all(write)

import golden_layers  # noqa: E402 (needs the environment)

golden_layers.write_all(write)

import golden_names  # noqa: E402 (needs the environment)

golden_names.main()

import golden_torchscript  # noqa: E402 (needs the environment)

golden_torchscript.write_all(write)

import golden_scripts  # noqa: E402 (needs the environment)

golden_scripts.write_scripts()

import golden_own_losses  # noqa: E402 (needs the environment)

golden_own_losses.write_all(write)

import golden_eval  # noqa: E402 (needs the environment)

golden_eval.write_all(write)

import golden_images  # noqa: E402 (needs the environment)

golden_images.write_all(write)

import golden_operations  # noqa: E402 (needs the environment)

golden_operations.write_all(write)

import golden_tensor_files  # noqa: E402 (needs the environment)

golden_tensor_files.write_all()

import golden_heads  # noqa: E402 (needs the environment)

golden_heads.write_all(write)
golden_pairs.global_loss(write)
