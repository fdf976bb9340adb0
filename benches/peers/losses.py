#!/usr/bin/env python3
"""Measures losses, miners and the memory of pytorch-metric-learning, as benches/losses.rs measures ours.

The same cases with the same settings, as far as it has them and does not take too long; one JSON object a line.
Needs the packages of `make golden`: .venv-golden/bin/python benches/peers/losses.py [THREADS [WORD]]
"""

import json
import sys
import time

import torch
from pytorch_metric_learning import losses, miners, regularizers

WIDTH, CLASSES, PER_CLASS = 128, 128, 4
BATCHES = [32, 128, 512]
MEMORY, MEMORY_BATCH = 55_000, 64
ENOUGH = 0.3
# What takes longer than this is not measured with a larger batch: some of it would take minutes.
TOO_LONG = 0.1
SPARSE = {"weight_regularizer": regularizers.SparseCentersRegularizer(CLASSES, 10), "weight_reg_weight": 0.2}

LOSSES = {
    "angular": losses.AngularLoss(alpha=40),
    "arc_face": losses.ArcFaceLoss(CLASSES, WIDTH, 28.6, 64),
    "circle": losses.CircleLoss(0.4, 80),
    "contrastive": losses.ContrastiveLoss(0, 1),
    "cos_face": losses.CosFaceLoss(CLASSES, WIDTH, margin=0.35, scale=64),
    "fast_ap": losses.FastAPLoss(10),
    "generalised_lifted": losses.GeneralizedLiftedStructureLoss(1, 0),
    "histogram": losses.HistogramLoss(100),
    "lifted": losses.LiftedStructureLoss(1, 0),
    "margin": losses.MarginLoss(0.2, 0.1, 1.2, learn_beta=True, num_classes=CLASSES),
    "multi_similarity": losses.MultiSimilarityLoss(2, 50, 0.5),
    "n_pair": losses.NPairsLoss(),
    "nca": losses.NCALoss(1),
    "normalised_softmax": losses.NormalizedSoftmaxLoss(CLASSES, WIDTH, 0.05),
    "nt_xent": losses.NTXentLoss(0.07),
    "proxy_anchor": losses.ProxyAnchorLoss(CLASSES, WIDTH, 0.1, 32),
    "proxy_nca": losses.ProxyNCALoss(CLASSES, WIDTH, softmax_scale=1),
    "proxy_nca_pp": losses.ProxyNCALoss(CLASSES, WIDTH, softmax_scale=9),
    "smooth_ap": losses.SmoothAPLoss(0.01),
    "snr_contrastive": losses.SignalToNoiseRatioContrastiveLoss(pos_margin=0, neg_margin=1),
    "soft_triple": losses.SoftTripleLoss(CLASSES, WIDTH, 10, 20, 0.1, 0.01, **SPARSE),
    "sup_con": losses.SupConLoss(0.1),
    "triplet": losses.TripletMarginLoss(0.05),
}

MINERS = {
    "angular": miners.AngularMiner(20),
    "batch_hard": miners.BatchHardMiner(),
    "distance_weighted": miners.DistanceWeightedMiner(0.5, 1.4),
    "hard_aware": miners.HDCMiner(0.5),
    "multi_similarity": miners.MultiSimilarityMiner(0.1),
    "pair_margin": miners.PairMarginMiner(0.2, 0.8),
    "semi_hard": miners.TripletMarginMiner(0.2, "semihard"),
    "triplet_margin": miners.TripletMarginMiner(0.2, "all"),
    "uniform_histogram": miners.UniformHistogramMiner(100, 25, 33),
}


def noise(images):
    return torch.rand(images, WIDTH, generator=torch.Generator().manual_seed(images)) * 2 - 1


def labels(images):
    return torch.arange(images) // PER_CLASS % CLASSES


def step(images, *all_losses):
    raw, targets = noise(images).requires_grad_(), labels(images)
    value = sum(loss(raw, targets) for loss in all_losses)
    parameters = [parameter for parameter in all_losses[0].parameters() if parameter.requires_grad]
    torch.autograd.grad(value, [raw, *parameters])


def with_memory(loss):
    """What `Objective` computes: the loss in the batch and that against the memory, which is full."""
    memory = losses.CrossBatchMemory(loss, WIDTH, MEMORY)
    memory.embedding_memory = torch.nn.functional.normalize(noise(MEMORY))
    memory.label_memory, memory.has_been_filled = labels(MEMORY), True
    return loss, memory


def each_batch(kind, name, word, run):
    for images in BATCHES if word in name else []:
        if say(kind, name, images, lambda: run(images)) > TOO_LONG:
            return


def say(kind, name, images, run):
    seconds = median_of_repetitions(run)
    print(json.dumps({"kind": kind, "name": name, "batch": images, "milliseconds": 1000 * seconds}), flush=True)
    return seconds


def seconds_of(run):
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def median_of_repetitions(run):
    first = seconds_of(run)
    if first > 3 * ENOUGH:
        return first
    begun, times = time.perf_counter(), []
    while len(times) < 3 or time.perf_counter() - begun < ENOUGH:
        times.append(seconds_of(run))
    return sorted(times)[len(times) // 2]


def main():
    threads, word = [*sys.argv[1:], "1", ""][:2] if len(sys.argv) != 2 else (sys.argv[1], "")
    torch.set_num_threads(int(threads))
    for name, loss in LOSSES.items():
        each_batch("loss", name, word, lambda images: step(images, loss))
    for name, miner in MINERS.items():
        each_batch("miner", name, word, lambda images: miner(noise(images), labels(images)))
    for name in ["contrastive", "multi_similarity"]:
        if word in "xbm" or word in name:
            both = with_memory(LOSSES[name])
            say("xbm", name, MEMORY_BATCH, lambda: step(MEMORY_BATCH, *both))


if __name__ == "__main__":
    main()
