#!/usr/bin/env python3
"""Measures the same embeddings with pytorch-metric-learning's AccuracyCalculator and faiss: eval.py VALUES LABELS WIDTH.

With `--make N CLASSES`, writes such files instead: normalized noisy points around class centers. The noise is such that
two images of a class are more similar than others by some standard deviations on average.
AccuracyCalculator has no Recall@K: the time it would need for that is left out, in its favor.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np


def memory(kind):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) / 1024


def make(args):
    random = np.random.default_rng(0)
    images, classes = args.make
    labels = np.arange(images, dtype=np.int64) % classes
    noise = (args.width**0.5 / args.deviations - 1) ** 0.5
    centers = random.standard_normal((classes, args.width), dtype=np.float32)
    with open(args.values, "wb") as file:
        for start in range(0, images, 50_000):
            some = labels[start : start + 50_000]
            rows = centers[some] + noise * random.standard_normal((len(some), args.width), dtype=np.float32)
            (rows / np.linalg.norm(rows, axis=1, keepdims=True)).tofile(file)
    labels.tofile(args.labels)


def measure(args):
    import faiss
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    threads = int(os.environ.get("THREADS", "2"))
    faiss.omp_set_num_threads(threads)
    torch.set_num_threads(threads)
    embeddings = torch.from_numpy(np.fromfile(args.values, dtype=np.float32).reshape(-1, args.width))
    labels = torch.from_numpy(np.fromfile(args.labels, dtype=np.int64))
    held = memory("VmRSS")
    names = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    begun = time.perf_counter()
    found = AccuracyCalculator(include=names, k="max_bin_count", device=torch.device("cpu")).get_accuracy(embeddings, labels)
    seconds = time.perf_counter() - begun
    answer = {"seconds": seconds, "above_mib": memory("VmHWM") - held, "map_at_r": found["mean_average_precision_at_r"]}
    print(json.dumps(answer | {name: found[name] for name in names[:2]}))


parser = argparse.ArgumentParser()
parser.add_argument("values")
parser.add_argument("labels")
parser.add_argument("width", type=int)
parser.add_argument("--make", type=int, nargs=2)
parser.add_argument("--deviations", type=float, default=3.5)
arguments = parser.parse_args()
make(arguments) if arguments.make else measure(arguments)
