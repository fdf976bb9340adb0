#!/usr/bin/env python3
"""The training of `sweep-trainer`, written with PyTorch and pytorch-metric-learning.

The same network, sampler, loss, optimizer and images, which are held in memory as by `sweep-trainer`: no data loader,
no augmentation, no logging, so that only the training is compared. Prints one JSON object.
Needs the packages of `make golden`: .venv-golden/bin/python benches/peers/train.py --help
"""

import time

STARTED = time.perf_counter()

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from pytorch_metric_learning import losses, samplers
from torch import nn


class Conv4(nn.Module):
    """Four blocks of 64 channels, global average pooling and a linear layer."""

    def __init__(self, channels: int, embedding: int):
        super().__init__()
        widths = [channels, 64, 64, 64, 64]
        self.blocks = nn.Sequential(*[self.block(*pair) for pair in zip(widths, widths[1:])])
        self.embedding = nn.Linear(64, embedding)

    @staticmethod
    def block(inputs: int, outputs: int) -> nn.Module:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.embedding(self.blocks(images).mean(dim=(2, 3)))


class ResNet50(nn.Module):
    """ResNet-50 of torchvision; a gray image becomes three equal channels."""

    def __init__(self, channels: int, embedding: int):
        super().__init__()
        import torchvision

        self.network = torchvision.models.resnet50(num_classes=embedding)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network((images.expand(-1, 3, -1, -1) - 0.45) / 0.225)


BACKBONES = {"conv4": Conv4, "resnet50": ResNet50}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path, help="folder of a prepared data set, with images.u8 and index.json")
    parser.add_argument("--backbone", choices=BACKBONES, default="conv4")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--per-class", type=int, default=4)
    parser.add_argument("--embedding", type=int, default=64)
    parser.add_argument("--loss", choices=["contrastive", "triplet"], default="contrastive")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warm-up", type=int, default=20, help="steps that are not counted")
    return parser.parse_args()


def training_half(folder: Path, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    index = json.loads((folder / "index.json").read_text())
    size, channels = index["stored"]["size"]["square"], 1
    labels = torch.tensor(index["training"]["labels"])
    images = np.memmap(folder / "images.u8", dtype=np.uint8, mode="c").reshape(-1, channels, size, size)
    return torch.from_numpy(images)[: len(labels)].to(device), labels


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    images, labels = training_half(args.data, args.device)
    network = BACKBONES[args.backbone](images.shape[1], args.embedding).to(args.device).train()
    loss_of = {
        "contrastive": losses.ContrastiveLoss(pos_margin=0, neg_margin=0.5),
        "triplet": losses.TripletMarginLoss(margin=0.2),
    }[args.loss]
    optimizer = torch.optim.Adam(network.parameters(), lr=args.lr)
    sampler = samplers.MPerClassSampler(
        labels, args.per_class, batch_size=args.batch, length_before_new_iter=args.steps * args.batch
    )
    order = torch.tensor(list(sampler)).split(args.batch)

    begun = time.perf_counter()
    for step, chosen in enumerate(order):
        if step == args.warm_up:
            begun = time.perf_counter()
        batch = images[chosen.to(args.device)].float() / 255
        loss = loss_of(network(batch), labels[chosen].to(args.device))
        value = loss.item()  # sweep-trainer, too, looks at every step whether the loss is a number
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if args.device == "cuda":
        torch.cuda.synchronize()
    ended = time.perf_counter()
    rate = (args.steps - args.warm_up) / (ended - begun)
    print(json.dumps({"steps_per_second": rate, "seconds": ended - STARTED, "loss": value}))


if __name__ == "__main__":
    main()
