#!/usr/bin/env python3
"""Measures losses, miners, regularizers and the memory of pytorch-metric-learning like benches/losses.rs.

The same cases with the same settings, except those that take too long; prints one JSON object per line. The forms of
Deep_Metric that it lacks are written in plain PyTorch here.
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
# A case that takes longer is not measured with larger batches, where it would take minutes.
TOO_LONG = 0.1
SPARSE = {"weight_regularizer": regularizers.SparseCentersRegularizer(CLASSES, 10), "weight_reg_weight": 0.2}



class PerAnchor(torch.nn.Module):
    """A loss of Deep_Metric: a term per anchor from its similarities and the masks of its partners."""

    def __init__(self, terms):
        super().__init__()
        self.terms = terms

    def forward(self, raw, targets):
        embeddings = torch.nn.functional.normalize(raw)
        same = targets[:, None] == targets[None]
        positives = same & ~torch.eye(len(targets), dtype=torch.bool)
        terms = self.terms(embeddings @ embeddings.T, positives, ~same)
        return torch.where(positives.any(1) & ~same.all(1), terms, 0).sum() / len(targets)


def within(values, kept):
    return values.masked_fill(~kept, -torch.inf)


def mean(values, kept):
    return torch.where(kept, values, 0).sum(1) / kept.sum(1).clamp_min(1)


def binomial_dm(s, positives, negatives, alpha=40, beta=2, base=0.5):
    softplus = torch.nn.functional.softplus
    return mean(softplus(-beta * (s - base)), positives) + mean(softplus(alpha * (s - base)), negatives)


def contrastive_dm(s, positives, negatives, margin=0.5):
    return torch.where(positives, 1 - s, 0).sum(1) + torch.where(negatives & (s > margin), s, 0).sum(1)


def lifted_dm(s, positives, negatives, alpha=40, beta=2):
    pull, push = within(-beta * s, positives).logsumexp(1), within(alpha * s, negatives).logsumexp(1)
    return 2 / beta * pull + 2 / alpha * push


def nca_dm(s, positives, negatives, alpha=16, k=32):
    others = within(s.detach(), positives | negatives)
    near = others > others.topk(min(k + 1, len(s)), 1).values[:, -1:]
    closest = within(s.detach(), positives).amax(1, keepdim=True)
    found = positives & near
    found = torch.where(found.any(1, keepdim=True), found, positives & (s == closest))
    return within(alpha * s, found | negatives & near).logsumexp(1) - within(alpha * s, found).logsumexp(1)


def semi_hard_dm(s, positives, negatives, alpha=40, beta=2, base=0.5):
    closest = within(s.detach(), positives).amax(1, keepdim=True)
    farthest = -within(-s.detach(), negatives).amax(1, keepdim=True)
    pull = torch.exp(-beta * (s - base)).masked_fill(~(positives & (s > farthest)), 0).sum(1).log1p()
    push = torch.exp(alpha * (s - base)).masked_fill(~(negatives & (s < closest)), 0).sum(1).log1p()
    return 2 / beta * pull + 2 / alpha * push


LOSSES = {
    "angular": losses.AngularLoss(alpha=40),
    "arc_face": losses.ArcFaceLoss(CLASSES, WIDTH, 28.6, 64),
    "binomial_dm": PerAnchor(binomial_dm),
    "circle": losses.CircleLoss(0.4, 80),
    "contrastive": losses.ContrastiveLoss(0, 1),
    "contrastive_dm": PerAnchor(contrastive_dm),
    "cos_face": losses.CosFaceLoss(CLASSES, WIDTH, margin=0.35, scale=64),
    "fast_ap": losses.FastAPLoss(10),
    "generalized_lifted": losses.GeneralizedLiftedStructureLoss(1, 0),
    "histogram": losses.HistogramLoss(100),
    "lifted": losses.LiftedStructureLoss(1, 0),
    "lifted_dm": PerAnchor(lifted_dm),
    "margin": losses.MarginLoss(0.2, 0.1, 1.2, learn_beta=True, num_classes=CLASSES),
    "multi_similarity": losses.MultiSimilarityLoss(2, 50, 0.5),
    "n_pair": losses.NPairsLoss(),
    "nca": losses.NCALoss(1),
    "nca_dm": PerAnchor(nca_dm),
    "normalized_softmax": losses.NormalizedSoftmaxLoss(CLASSES, WIDTH, 0.05),
    "nt_xent": losses.NTXentLoss(0.07),
    "proxy_anchor": losses.ProxyAnchorLoss(CLASSES, WIDTH, 0.1, 32),
    "proxy_nca": losses.ProxyNCALoss(CLASSES, WIDTH, softmax_scale=1),
    "proxy_nca_pp": losses.ProxyNCALoss(CLASSES, WIDTH, softmax_scale=9),
    "semi_hard_dm": PerAnchor(semi_hard_dm),
    "smooth_ap": losses.SmoothAPLoss(0.01),
    "snr_contrastive": losses.SignalToNoiseRatioContrastiveLoss(pos_margin=0, neg_margin=1),
    "soft_triple": losses.SoftTripleLoss(CLASSES, WIDTH, 10, 20, 0.1, 0.01, **SPARSE),
    "sup_con": losses.SupConLoss(0.1),
    "triplet": losses.TripletMarginLoss(0.05),
}

MINERS = {
    "angular": miners.AngularMiner(20),
    "batch_easy_hard": miners.BatchEasyHardMiner("easy", "semihard"),
    "batch_hard": miners.BatchHardMiner(),
    "distance_weighted": miners.DistanceWeightedMiner(0.5, 1.4),
    "hard_aware": miners.HDCMiner(0.5),
    "multi_similarity": miners.MultiSimilarityMiner(0.1),
    "pair_margin": miners.PairMarginMiner(0.2, 0.8),
    "semi_hard": miners.TripletMarginMiner(0.2, "semihard"),
    "triplet_margin": miners.TripletMarginMiner(0.2, "all"),
    "uniform_histogram": miners.UniformHistogramMiner(100, 25, 33),
}

REGULARIZERS = {
    "center_invariant": regularizers.CenterInvariantRegularizer(),
    "lp_norm": regularizers.LpRegularizer(),
    "zero_mean": regularizers.ZeroMeanRegularizer(),
}


def noise(images):
    return torch.rand(images, WIDTH, generator=torch.Generator().manual_seed(images)) * 2 - 1


def labels(images):
    return torch.arange(images) // PER_CLASS % CLASSES


def step(raw, targets, *all_losses):
    value = sum(loss(raw, targets) for loss in all_losses)
    parameters = [parameter for parameter in all_losses[0].parameters() if parameter.requires_grad]
    torch.autograd.grad(value, [raw, *parameters])


def penalise(raw, regularizer):
    torch.autograd.grad(regularizer(raw), raw)


def with_memory(loss):
    """Computes the same as `Objective`: the loss in the batch plus the loss against a full memory."""
    memory = losses.CrossBatchMemory(loss, WIDTH, MEMORY)
    memory.embedding_memory = torch.nn.functional.normalize(noise(MEMORY))
    memory.label_memory, memory.has_been_filled = labels(MEMORY), True
    return loss, memory


def each_batch(kind, name, word, run):
    for images in BATCHES if word in name else []:
        raw, targets = noise(images).requires_grad_(), labels(images)
        if say(kind, name, images, lambda: run(raw, targets)) > TOO_LONG:
            return


def say(kind, name, images, run):
    seconds = median_of_repetitions(run)
    print(json.dumps({"kind": kind, "name": name, "batch": images, "milliseconds": 1000 * seconds}), flush=True)
    return seconds


def seconds_of(run):
    begun = time.process_time()
    run()
    return time.process_time() - begun


def median_of_repetitions(run):
    first = seconds_of(run)
    if first > 3 * ENOUGH:
        return first
    begun, times = time.process_time(), []
    while len(times) < 3 or time.process_time() - begun < ENOUGH:
        times.append(seconds_of(run))
    return sorted(times)[len(times) // 2]


def main():
    threads, word = [*sys.argv[1:], "1", ""][:2] if len(sys.argv) != 2 else (sys.argv[1], "")
    torch.set_num_threads(int(threads))
    for name, loss in LOSSES.items():
        each_batch("loss", name, word, lambda raw, targets: step(raw, targets, loss))
    for name, miner in MINERS.items():
        each_batch("miner", name, word, lambda raw, targets: miner(raw.detach(), targets))
    for name, regularizer in REGULARIZERS.items():
        each_batch("regularizer", name, word, lambda raw, _: penalise(raw, regularizer))
    for name in ["contrastive", "multi_similarity"]:
        if word in "xbm" or word in name:
            both = with_memory(LOSSES[name])
            raw, targets = noise(MEMORY_BATCH).requires_grad_(), labels(MEMORY_BATCH)
            say("xbm", name, MEMORY_BATCH, lambda: step(raw, targets, *both))


if __name__ == "__main__":
    main()
