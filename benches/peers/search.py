#!/usr/bin/env python3
"""Compares `sweep`'s search with Optuna's samplers on functions with known optima.

Every searcher gets the same functions, seeds and number of trials, one trial at a time. The measure is the regret:
the optimum minus the true value of the trial with the best observed value. A seed determines the searcher's draws and
the observation noise. benches/run.py runs this; alone it prints one JSON object:

  .venv-golden/bin/python benches/peers/search.py PROGRAM [--seeds 20] [--trials 50] [--surfaces FOLDER]

PROGRAM answers one JSON line `{"search": .., "history": .., "trial": ..}` with one point (benches/search.rs).
FOLDER holds the published Bayesian optimizations of A Metric Learning Reality Check, one JSON file each with
`ranges`, `params` and `trace_best_so_far`, from which the replay surfaces are made. Without it they are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

REPLAYED = ["cub_soft_triple", "cub_multi_similarity_with_ms_miner", "sop_arcface"]


class Function:
    """A function to maximize: its space in the form of a sweep file, its optimum, its noise per observation."""

    def __init__(self, space, value, best, noise=0.0):
        self.space, self.value, self.best, self.noise = space, value, best, noise

    def observe(self, point, random):
        return self.value(point) + self.noise * random.standard_normal()


def branin(p):
    x, y = p["x"], p["y"]
    bowl = (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
    return -(bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


HARTMANN_A = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(p):
    x = np.array([p[f"x{i}"] for i in range(6)])
    return float(np.array([1, 1.2, 3, 3.2]) @ np.exp(-(HARTMANN_A * (x - HARTMANN_P) ** 2).sum(1)))


def mixed(p):
    """A miniature training: a learning rate, a width, an optimizer, and a momentum that only one optimizer has."""
    value = 0.8 - 0.02 * (math.log10(p["lr"]) + 3 + (1 if p["optimizer"] == "sgd" else 0)) ** 2
    value -= 0.0004 * (p["width"] - 24) ** 2 / 10
    if p["optimizer"] == "sgd":
        return value + 0.03 - 0.3 * (p["momentum"] - 0.8) ** 2
    return value + {"adam": 0.02, "rms_prop": 0.0}[p["optimizer"]]


def replay(file):
    """A smooth surface through a published search.

    Of a trial that improved on all before it the file tells the value, of any other only that it was no better than
    the best so far. The surface is the Matern-5/2 kernel regression with those values and, one-sided, those bounds.
    """
    record = json.loads(file.read_text())
    names = list(record["ranges"])
    space = [
        {"name": name, "range": {"log_uniform" if scale == "log" else "uniform": [low, high]}}
        for name, (low, high, scale) in record["ranges"].items()
    ]

    def unit(point):
        coordinates = []
        for name, (low, high, scale) in record["ranges"].items():
            value = point[name]
            if scale == "log":
                low, high, value = math.log(low), math.log(high), math.log(value)
            coordinates.append((value - low) / (high - low))
        return coordinates

    x = np.array([unit(point) for point in record["params"]])
    trace = np.array(record["trace_best_so_far"])
    known = np.concatenate([[True], trace[1:] > trace[:-1]])
    length = 0.3 * math.sqrt(len(names))
    kernel = lambda a, b: matern(np.sqrt(((a[:, None] - b[None]) ** 2).sum(2)) / length)
    gram, mean = kernel(x, x), trace.min() - 0.1
    active = known.copy()
    for _ in range(100):
        weights = np.zeros(len(x))
        weights[active] = np.linalg.solve(gram[np.ix_(active, active)] + 1e-4 * np.eye(active.sum()), (trace - mean)[active])
        # An upper bound takes part while the surface would cross it, or while it holds the surface down.
        holds = active & ~known & (weights < 0)
        crossed = ~active & (gram @ weights + mean > trace + 1e-9)
        now = known | holds | crossed
        if (now == active).all():
            break
        active = now
    surface = lambda units: kernel(np.atleast_2d(units), x) @ weights + mean
    return Function(space, lambda point: float(surface(np.array(unit(point)))[0]), maximum(surface, len(names)))


def matern(r):
    return (1 + math.sqrt(5) * r + 5 / 3 * r * r) * np.exp(-math.sqrt(5) * r)


def maximum(surface, dimensions):
    """Returns the highest value in the unit cube, refined from many starts."""
    from scipy.optimize import minimize

    starts = np.random.default_rng(0).random((4096, dimensions))
    starts = starts[np.argsort(-surface(starts))[:24]]
    ends = (minimize(lambda u: -surface(u)[0], start, bounds=[(0, 1)] * dimensions) for start in starts)
    return float(max(-end.fun for end in ends))


def functions(folder):
    uniform = lambda name, low, high: {"name": name, "range": {"uniform": [low, high]}}
    mixed_space = [
        {"name": "lr", "range": {"log_uniform": [1e-6, 1.0]}},
        {"name": "width", "range": {"int": [4, 64]}},
        {"name": "optimizer", "range": {"choice": ["rms_prop", "adam", "sgd"]}},
        {"name": "momentum", "range": {"uniform": [0.0, 1.0]}, "when": {"name": "optimizer", "is": "sgd"}},
    ]
    all_of_them = {
        "Branin": Function([uniform("x", -5, 10), uniform("y", 0, 15)], branin, -0.397887357729738),
        "Hartmann-6": Function([uniform(f"x{i}", 0, 1) for i in range(6)], hartmann6, 3.322368011415515),
        "mixed, noisy": Function(mixed_space, mixed, 0.83, noise=0.01),
    }
    for name in REPLAYED if folder else []:
        all_of_them[f"replay {name}"] = replay(folder / f"{name}.json")
    return all_of_them


def with_optuna(sampler, function, trials, seed):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = {"Optuna TPE": optuna.samplers.TPESampler, "Optuna GP": optuna.samplers.GPSampler}
    study = optuna.create_study(direction="maximize", sampler=samplers[sampler](seed=seed))
    random, seen = np.random.default_rng(seed), []

    def objective(trial):
        point = {}
        for dimension in function.space:
            condition = dimension.get("when")
            if condition is None or point[condition["name"]] == condition["is"]:
                point[dimension["name"]] = ask_optuna(trial, dimension)
        seen.append((function.observe(point, random), function.value(point)))
        return seen[-1][0]

    study.optimize(objective, n_trials=trials)
    return seen


def ask_optuna(trial, dimension):
    name, ((kind, bounds),) = dimension["name"], dimension["range"].items()
    if kind == "choice":
        return trial.suggest_categorical(name, bounds)
    if kind == "int":
        return trial.suggest_int(name, *bounds)
    return trial.suggest_float(name, *bounds, log=kind == "log_uniform")


def with_sweep(program, strategy, function, trials, seed):
    search = {"space": function.space, "settings": {"strategy": strategy, "trials": trials, "seed": seed}}
    random, seen, history = np.random.default_rng(seed), [], []
    for trial in range(trials):
        program.stdin.write(json.dumps({"search": search, "history": history, "trial": trial}) + "\n")
        program.stdin.flush()
        point = json.loads(program.stdout.readline())
        seen.append((function.observe(point, random), function.value(point)))
        history.append({"point": point, "outcome": {"finished": {"mean": seen[-1][0], "sem": function.noise or None}}})
    return seen


def regrets(function, seen):
    """Returns the regret after every trial."""
    chosen, answer = None, []
    for observed, true in seen:
        if chosen is None or observed > chosen[0]:
            chosen = (observed, true)
        answer.append(function.best - chosen[1])
    return answer


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--surfaces", type=Path)
    parser.add_argument("--only", nargs="*", default=["TPE", "GP", "Optuna TPE", "Optuna GP"], help="only these searchers")
    parser.add_argument("--functions", nargs="*", help="only these functions")
    args = parser.parse_args()
    program = subprocess.Popen([args.program.resolve()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    answer = {}
    for name, function in functions(args.surfaces).items():
        if args.functions and name not in args.functions:
            continue
        for searcher in args.only:
            begun, runs = time.perf_counter(), []
            for seed in range(args.first_seed, args.first_seed + args.seeds):
                if searcher.startswith("Optuna"):
                    runs.append(regrets(function, with_optuna(searcher, function, args.trials, seed)))
                else:
                    runs.append(regrets(function, with_sweep(program, searcher.lower(), function, args.trials, seed)))
            seconds = (time.perf_counter() - begun) / args.seeds / args.trials
            last = [run[-1] for run in runs]
            answer.setdefault(name, {})[searcher] = {"regrets": last, "seconds_per_trial": seconds}
            print(f"  {name}, {searcher}: median regret {np.median(last):.3g}, {seconds:.3f} s a trial", file=sys.stderr)
    program.stdin.close()
    program.wait()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
