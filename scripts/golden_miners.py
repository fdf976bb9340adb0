"""Golden choices of miners: src/dml/miner/testdata/rules.json. Called by golden.py, whose environment it needs.

Each deterministic miner of pytorch-metric-learning, with its defaults and other settings, by distance and by
similarity: what it chooses within a batch, and against other embeddings.
"""

import numpy as np
import torch
from pytorch_metric_learning import miners
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance

DISTANCES = {"euclidean": LpDistance, "cosine": CosineSimilarity}

TRIPLET_MARGIN = [
    {"margin": margin, "type_of_triplets": kind}
    for kind, margins in {"all": [0.2, -0.4], "hard": [0.2], "semihard": [0.2, 0.7], "easy": [0.2, 0.7]}.items()
    for margin in margins
]

STRATEGIES = ["easy", "semihard", "hard", "all"]

BATCH_EASY_HARD = [
    {"pos_strategy": positive, "neg_strategy": negative, "allowed_pos_range": None, "allowed_neg_range": None}
    for positive in STRATEGIES
    for negative in STRATEGIES
    if "semihard" not in (positive, negative) or {positive, negative} & {"easy", "hard"}
]
RANGES = {"allowed_pos_range": [0.4, 1.2], "allowed_neg_range": [0.3, 1.0]}
BATCH_EASY_HARD += [
    {"pos_strategy": "easy", "neg_strategy": "semihard", **RANGES},
    {"pos_strategy": "semihard", "neg_strategy": "hard", **RANGES},
    {"pos_strategy": "hard", "neg_strategy": "easy", **RANGES},
]

KINDS = {"all": "all_triplets", "hard": "hard", "semihard": "semi_hard", "easy": "easy"}


def here(name, settings, distance):
    """The key and the settings of the same miner in a sweep file."""
    if name == "triplet_margin":
        name = KINDS[settings["type_of_triplets"]]
        settings = {} if name == "hard" else {"margin": settings["margin"]}
    elif name == "batch_easy_hard":
        strategies = {"positive": settings["pos_strategy"], "negative": settings["neg_strategy"]}
        ranges = {"positive_range": settings["allowed_pos_range"], "negative_range": settings["allowed_neg_range"]}
        settings = {key: value.replace("semihard", "semi_hard") for key, value in strategies.items()}
        settings |= {key: value for key, value in ranges.items() if value}
    elif name == "hard_aware":
        settings = {"share": settings["filter_percentage"]}
    elif name == "angular":
        return name, {"degrees": settings["angle"]}
    return name, {**settings, "distance": distance}


BOTH, EUCLIDEAN = ["euclidean", "cosine"], ["euclidean"]

# The name here, how it is made, by which distances, and with which settings, its defaults first.
MINERS = [
    ("triplet_margin", miners.TripletMarginMiner, BOTH, TRIPLET_MARGIN),
    ("batch_hard", miners.BatchHardMiner, BOTH, [{}]),
    ("batch_easy_hard", miners.BatchEasyHardMiner, BOTH, BATCH_EASY_HARD),
    (
        "pair_margin",
        miners.PairMarginMiner,
        BOTH,
        [{"pos_margin": 0.2, "neg_margin": 0.8}, {"pos_margin": 0.9, "neg_margin": 0.4}],
    ),
    ("hard_aware", miners.HDCMiner, BOTH, [{"filter_percentage": share} for share in [0.5, 0.1, 1.0]]),
    ("angular", miners.AngularMiner, EUCLIDEAN, [{"angle": angle} for angle in [20, 35, 5]]),
]


def write_rules(write):
    """The inputs have their own generator, so that no other golden file depends on them.

    There are 20 positive and 112 negative pairs, so that no share separates a pair from its mirror image.
    """
    random = np.random.default_rng(20170622)
    batch, labels = random.standard_normal((12, 4)).round(3), [0, 1, 2, 0, 1, 2, 0, 1, 3, 2, 4, 3]
    references, reference_labels = random.standard_normal((7, 4)).round(3), [0, 1, 2, 5, 0, 1, 5]
    normalized = [torch.nn.functional.normalize(torch.tensor(rows)) for rows in (batch, references)]
    targets, reference_targets = torch.tensor(labels), torch.tensor(reference_labels)
    lists = lambda tuples: [indices.tolist() for indices in tuples]
    cases = []
    for name, make, distances, settings in MINERS:
        for distance in distances:
            for setting in settings:
                miner = make(distance=DISTANCES[distance](), **setting)
                own = miner(normalized[0], targets)
                other = miner(normalized[0], targets, normalized[1], reference_targets)
                key, own_settings = here(name, setting, distance)
                case = {"miner": key, "settings": own_settings}
                cases.append({**case, "batch": lists(own), "references": lists(other)})
    values = {"embeddings": batch.tolist(), "labels": labels}
    values |= {"references": references.tolist(), "reference_labels": reference_labels, "cases": cases}
    write("miner", "rules", values)
