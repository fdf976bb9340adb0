#!/usr/bin/env python3
"""Trains a backbone on noise with torchvision, timm and pytorch-metric-learning, as benches/backbones.rs does here.

Does a step and prints one JSON object for each line it reads. Everything has PyTorch's defaults except that batch norms
are in evaluation mode, as in the Reality Check. With `bf16`, the model runs under autocast. Needs the packages of
`make golden`: .venv-golden/bin/python benches/peers/backbones.py NAME [THREADS [SIDE [bf16]]]
"""

import json
import resource
import sys
import time

import timm
import torch
import torchvision
from pytorch_metric_learning.losses import MultiSimilarityLoss
from torch import nn

BATCH, PER_CLASS, WIDTH = 32, 4, 128


class ConvNorm(nn.Sequential):
    """A convolution with bias, batch norm and in-place ReLU, as in R. Cadene's port of the Caffe weights."""

    def __init__(self, inputs, outputs, kernel, stride=1):
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Block(nn.Module):
    """Four parallel branches."""

    def __init__(self, inputs, single, small, double, projection, last=False):
        super().__init__()
        stride = 1 if single else 2
        branches = [ConvNorm(inputs, single, 1)] if single else []
        branches.append(nn.Sequential(ConvNorm(inputs, small[0], 1), ConvNorm(*small, 3, stride)))
        reduce, middle = ConvNorm(inputs, double[0], 1), ConvNorm(*double, 3)
        branches.append(nn.Sequential(reduce, middle, ConvNorm(double[1], double[1], 3, stride)))
        if not single:
            branches.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        else:
            pool = nn.MaxPool2d(3, 1, 1, ceil_mode=True) if last else nn.AvgPool2d(3, 1, 1, ceil_mode=True)
            branches.append(nn.Sequential(pool, ConvNorm(inputs, projection, 1)))
        self.branches = nn.ModuleList(branches)

    def forward(self, map):
        return torch.cat([branch(map) for branch in self.branches], 1)


def bn_inception(_):
    return nn.Sequential(
        ConvNorm(3, 64, 7, 2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        ConvNorm(64, 64, 1),
        ConvNorm(64, 192, 3),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Block(192, 64, (64, 64), (64, 96), 32),
        Block(256, 64, (64, 96), (64, 96), 64),
        Block(320, 0, (128, 160), (64, 96), 0),
        Block(576, 224, (64, 96), (96, 128), 128),
        Block(576, 192, (96, 128), (96, 128), 128),
        Block(576, 160, (128, 160), (128, 160), 96),
        Block(576, 96, (128, 192), (160, 192), 96),
        Block(576, 0, (128, 192), (192, 256), 0),
        Block(1024, 352, (192, 320), (160, 224), 128),
        Block(1024, 352, (192, 320), (192, 224), 128, last=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1024, WIDTH),
    )


def resnet50(_):
    return torchvision.models.resnet50(num_classes=WIDTH)


def of_timm(name):
    return lambda _: timm.create_model(name, num_classes=WIDTH)


def transformer(name):
    return lambda side: timm.create_model(name, num_classes=WIDTH, img_size=side)


MODELS = {
    "bn_inception": bn_inception,
    "resnet50": resnet50,
    "efficientnet_lite0": of_timm("tf_efficientnet_lite0"),
    "dinov2_s14": transformer("vit_small_patch14_dinov2"),
    "dinov2_b14": transformer("vit_base_patch14_dinov2"),
    "convnext_t": of_timm("convnext_tiny"),
    "swin_t": transformer("swin_tiny_patch4_window7_224"),
}


def set_bn_eval(module):
    if isinstance(module, nn.BatchNorm2d):
        module.eval()


def main():
    name, threads, side, precision = [*sys.argv[1:], *["1", "128", "f32"][len(sys.argv) - 2 :]]
    torch.set_num_threads(int(threads))
    model = MODELS[name](int(side)).train().apply(set_bn_eval)
    loss, optimizer = MultiSimilarityLoss(2, 50, 0.5), torch.optim.Adam(model.parameters(), lr=1e-6)
    images, labels = torch.randn(BATCH, 3, int(side), int(side)), torch.arange(BATCH) // PER_CLASS
    for _ in sys.stdin:
        begun, spent = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            embeddings = model(images)
        loss(embeddings.float(), labels).backward()
        optimizer.step()
        seconds, processor = time.perf_counter() - begun, time.process_time() - spent
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "processor": processor, "peak_mib": peak}), flush=True)


if __name__ == "__main__":
    main()
