#!/usr/bin/env python3
"""Writes the golden values of `report::stats`, from SciPy, statsmodels and baycomp:
src/report/stats/testdata/scipy.json.

`make golden` runs it in `.venv-golden`, or run it there yourself. The result is the same each time.
"""

import json
import math
from pathlib import Path

import baycomp
import numpy as np
import pandas
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

ROOT = Path(__file__).resolve().parent.parent
random = np.random.default_rng(20200831)


def results(n, shift, decimals=4):
    """Scores of two methods under the same n conditions."""
    first = 0.5 + 0.02 * random.standard_normal(n)
    second = first + shift + 0.01 * random.standard_normal(n)
    return first.round(decimals), second.round(decimals)


def case(first, second):
    first, second = (np.asarray(side, dtype=float) for side in (first, second))
    # The same subtraction as in the code under test: which differences are tied depends on the last bit.
    n, differences = len(first), first - second
    interval = stats.t.interval(0.95, n - 1, loc=first.mean(), scale=stats.sem(first))
    t, wilcoxon = stats.ttest_rel(first, second), stats.wilcoxon(differences)
    cohen = differences.mean() / differences.std(ddof=1)
    return {
        "first": first.tolist(),
        "second": second.tolist(),
        "interval": list(interval),
        "t": [t.statistic, t.pvalue],
        "wilcoxon": [wilcoxon.statistic, wilcoxon.pvalue],
        "cohen": cohen,
        "hedges": cohen * (1 - 3 / (4 * (n - 1) - 1)),
    }


def friedman(scores):
    answer = stats.friedmanchisquare(*scores.T)
    ranks = np.mean([stats.rankdata(-row) for row in scores], axis=0)
    return {"scores": scores.tolist(), "friedman": [answer.statistic, answer.pvalue], "ranks": ranks.tolist()}


def nemenyi(methods, sets, alpha):
    quantile = stats.studentized_range.ppf(1 - alpha, methods, np.inf)
    difference = quantile / math.sqrt(2) * math.sqrt(methods * (methods + 1) / (6 * sets))
    return {"methods": methods, "sets": sets, "alpha": alpha, "difference": difference}


def needed(effect, alpha, power):
    """The smallest number of pairs with this power, by the noncentral t distribution."""
    for n in range(3, 10_000):
        bound, shift = stats.t.ppf(1 - alpha / 2, n - 1), effect * math.sqrt(n)
        if stats.nct.sf(bound, n - 1, shift) + stats.nct.cdf(-bound, n - 1, shift) >= power:
            return {"effect": effect, "alpha": alpha, "power": power, "pairs": n}


def bootstrapped(values):
    answer = stats.bootstrap((values,), np.mean, n_resamples=20000, method="BCa", rng=np.random.default_rng(1))
    interval = answer.confidence_interval
    return {"values": values.tolist(), "interval": [interval.low, interval.high], "error": answer.standard_error}


def equality(n, shift, within):
    first, second = results(n, shift)
    differences = first - second
    wins = (np.sign(differences).sum() + n) / 2
    return {
        "differences": differences.tolist(),
        "within": within,
        "p": stats.ttest_1samp(differences, 0).pvalue,
        "p_of_distance": ttost_paired(first, second, -within, within)[0],
        "superiority": list(proportion_confint(wins, n, method="wilson")),
    }


def posterior(seeds, folds, shift, within):
    """The correlated Bayesian t test; without folds, differences are independent."""
    first, second = results(seeds * (folds or 1), shift)
    differences = first - second
    if folds:
        above, inside, below = baycomp.two_on_single(second, first, rope=within, runs=seeds)[::-1]
    else:
        t = stats.t(seeds - 1, differences.mean(), stats.sem(differences))
        below, above = t.cdf(-within), t.sf(within)
        inside = 1 - below - above
    probabilities = [below, inside, above]
    return {"differences": differences.tolist(), "folds": folds, "within": within, "probabilities": probabilities}


def two_way(seeds, classes, of_seed, of_class, rest):
    """The variance of the mean of a crossed design, from the mean squares of an analysis of variance."""
    scores = 0.5 + of_seed * random.standard_normal((seeds, 1)) + of_class * random.standard_normal((1, classes))
    scores = (scores + rest * random.standard_normal((seeds, classes))).round(4)
    rows = [(score, str(seed), str(place)) for seed, row in enumerate(scores) for place, score in enumerate(row)]
    frame = pandas.DataFrame(rows, columns=["score", "seed", "place"])
    table = anova_lm(ols("score ~ C(seed) + C(place)", frame).fit())
    of_seeds, of_classes, of_rest = table["mean_sq"]
    parts = [of_seeds / scores.size, max(of_classes - of_rest, 0) / scores.size]
    return {"scores": scores.tolist(), "mean": scores.mean(), "parts": parts}


def write_all():
    golden = {
        "paired": [
            case(*results(3, 0.005)),
            case(*results(10, 0.003)),
            case(*results(10, 0.02)),
            case(*results(50, 0.001)),
            case(*results(51, 0.001)),
            case([1, 2, 3, 4, 5, 6, 7, 8], [1, 3, 5, 2, 9, 7, 4, 8]),
            case([0.5, 0.25, 0.75, 0.5, 0.625, 1.0], [0.25, 0.5, 0.5, 0.25, 0.125, 0.0]),
            case(*results(60, 0.002, decimals=2)),
        ],
        "friedman": [
            friedman((random.standard_normal((6, 4)) + np.array([0, 0.5, 1, 1])).round(3)),
            friedman(random.integers(0, 4, (8, 5)).astype(float)),
        ],
        "nemenyi": [nemenyi(k, n, alpha) for k in (3, 5, 10, 14) for n, alpha in ((5, 0.05), (20, 0.1))],
        "needed": [needed(effect, alpha, 0.8) for effect in (0.2, 0.5, 0.8, 1.0, 1.5) for alpha in (0.05, 0.01)],
        "bootstrap": [
            bootstrapped((random.random(200) < 0.7).astype(float)),
            bootstrapped((random.random(60) ** 4).round(4)),
        ],
        "equality": [
            equality(n, shift, within) for n in (3, 5, 10) for shift, within in ((0.001, 0.005), (0.006, 0.01), (0.02, 0.01))
        ],
        "two_way": [two_way(3, 8, 0.01, 0.1, 0.05), two_way(5, 12, 0.02, 0.2, 0.1), two_way(4, 6, 0.05, 0, 0.1)],
        "interquartile": [
            {"values": values.tolist(), "mean": stats.trim_mean(values, 0.25)}
            for values in (random.random(n).round(4) for n in (1, 3, 4, 10, 31))
        ],
        "posterior": [
            posterior(seeds, folds, shift, within)
            for seeds, folds in ((3, None), (10, None), (3, 4), (10, 4), (1, 10))
            for shift, within in ((0.001, 0.005), (0.012, 0.01))
        ],
    }
    path = ROOT / "src/report/stats/testdata/scipy.json"
    path.parent.mkdir(exist_ok=True)
    lines = (f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]" for name, cases in golden.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    write_all()
