#!/usr/bin/env python3
"""Writes the golden values of `sweep::search::importance`, from optuna: src/sweep/search/testdata/importance.json.

Two kinds of cases: searches that are drawn here, and published ones that are in `../shared` on some machines. Of the latter
only the expected values are written; where they are absent, those of an earlier run stay.

`make golden` runs it in `.venv-golden`, or run it there yourself. The result is the same each time.
"""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = ROOT / "src/sweep/search/testdata/importance.json"
RECORDED = ROOT.parent / "shared/reference/mlrc_bayesopt"

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.WARNING)


def distribution(search_range):
    """Returns optuna's word for a range, and the function from a value to optuna's."""
    ((kind, values),) = search_range.items()
    same = lambda value: value
    match kind:
        case "uniform":
            return FloatDistribution(*values), same
        case "log_uniform":
            return FloatDistribution(*values, log=True), same
        case "int":
            return IntDistribution(*values), same
        case "log_int":
            return IntDistribution(*values, log=True), same
        case "grid":
            return IntDistribution(0, len(values) - 1), values.index
        case "choice":
            return CategoricalDistribution(values), same


def importances(space, trials):
    """Returns the importance of each dimension, not normalized."""
    study = optuna.create_study(direction="maximize")
    dimensions = {dimension["name"]: distribution(dimension["range"]) for dimension in space}
    for point, score in trials:
        params = {name: dimensions[name][1](value) for name, value in point.items()}
        distributions = {name: dimensions[name][0] for name in point}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=score))
    # A tenth of the trials, but at least five; the half avoids rounding.
    best = max(math.ceil(len(trials) / 10), 5)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=(best - 0.5) / len(trials))
    found = get_param_importances(study, evaluator=evaluator, normalize=False)
    return [found[dimension["name"]] for dimension in space]


SPACE = [
    {"name": "lr", "range": {"log_uniform": [1e-6, 1.0]}},
    {"name": "margin", "range": {"uniform": [-0.2, 2.0]}},
    {"name": "neighbors", "range": {"int": [1, 9]}},
    {"name": "queue", "range": {"log_int": [16, 2000]}},
    {"name": "batch", "range": {"grid": [16, 32, 64, 128]}},
    {"name": "distance", "range": {"choice": ["cosine", "l2", "snr"]}},
    {"name": "power", "range": {"int": [2, 300]}, "when": {"name": "distance", "is": "l2"}},
]


def drawn(number, trials):
    """A search of random points whose scores depend on a few of the values."""
    random = np.random.default_rng(number)
    history = []
    for _ in range(trials):
        point = {
            "lr": float(f"{math.exp(random.uniform(math.log(1e-6), 0.0)):.6g}"),
            "margin": float(f"{random.uniform(-0.2, 2.0):.6g}"),
            "neighbors": int(random.integers(1, 10)),
            "queue": int(round(math.exp(random.uniform(math.log(16), math.log(2000))))),
            "batch": int(random.choice([16, 32, 64, 128])),
            "distance": str(random.choice(["cosine", "l2", "snr"])),
        }
        if point["distance"] == "l2":
            point["power"] = int(random.integers(2, 301))
        score = -abs(math.log10(point["lr"]) + 3.0) + 0.1 * point["neighbors"] * (number % 2)
        score += 0.5 * (point["distance"] == "l2") + 0.1 * random.standard_normal()
        # Rounded so coarsely that some scores are equal.
        history.append([point, round(score, 1)])
    return {"space": SPACE, "trials": history, "importances": importances(SPACE, history)}


def recorded(path):
    """A search of one value that was published, with the score of every trial."""
    search = json.loads(path.read_text())
    if not search["obs_1d"]:
        return None
    ((name, (low, high, scale)),) = search["ranges"].items()
    space = [{"name": name, "range": {"log_uniform" if scale == "log" else "uniform": [low, high]}}]
    # The trials at the bounds were read off a plot, and may be beyond them by the last digit.
    values, scores, _ = search["obs_1d"]
    trials = [[{name: min(max(value, low), high)}, score] for value, score in zip(values, scores)]
    return importances(space, trials)[0]


def write_all():
    earlier = json.loads(WRITTEN.read_text())["recorded"] if WRITTEN.exists() else {}
    found = {path.stem: recorded(path) for path in sorted(RECORDED.glob("*.json"))}
    published = {name: value for name, value in found.items() if value is not None}
    cases = [drawn(number, trials) for number, trials in [(0, 20), (1, 50), (2, 200)]]
    lines = ",\n".join(json.dumps(case) for case in cases)
    WRITTEN.write_text(f'{{"drawn": [\n{lines}\n],\n"recorded": {json.dumps(published or earlier)}}}\n')


if __name__ == "__main__":
    write_all()
