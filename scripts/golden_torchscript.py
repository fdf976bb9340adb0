"""TorchScript modules for the tests of `dml::model`, and what they make of an image: testdata/script_*.pt, scripts.json."""

from pathlib import Path

import torch
from torch import nn

FOLDER = Path(__file__).resolve().parent.parent / "src/dml/model/testdata"


def pattern(count):
    """The formula of the same name in the tests."""
    return torch.tensor([((place * 7919 + 104_729) % 2003 - 1001) / 1001 for place in range(count)])


def modules():
    layers = [nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)]
    return {"map": nn.Sequential(*layers), "features": nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 49, 5))}


def write_all(write):
    torch.manual_seed(0)
    images = pattern(2 * 3 * 16 * 16).view(2, 3, 16, 16)
    cases = []
    for name, module in modules().items():
        with torch.no_grad():
            for number, parameter in enumerate(module.parameters()):
                parameter.copy_(pattern(parameter.numel() + number)[number:].view_as(parameter) * 0.3 + 0.2)
        module.train()
        module(images)  # running statistics that are not those of a start
        module.eval()
        torch.jit.script(module).save(str(FOLDER / f"script_{name}.pt"))
        features = module(images)
        (features * pattern(features.numel()).view_as(features)).sum().backward()
        gradient = module[0].weight.grad.flatten()
        cases.append({"name": name, "features": features.flatten().tolist(), "gradient": gradient.tolist()})
        module.zero_grad()
    write("model", "scripts", {"cases": cases})
