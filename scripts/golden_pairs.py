"""Golden values of losses without parameters of their own: src/dml/loss/testdata/<loss>.json, and of regularizers.

What pytorch-metric-learning has comes from there; the rest are the formulas, written as loops.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses, miners, regularizers
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

LABELS = [0, 1, 2, 0, 1, 2, 0, 3, 3, 4]
OTHER_LABELS = [0, 1, 2, 5, 3, 0, 1]
MINERS = {
    "none": lambda: None,
    "semi_hard": lambda: miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard"),
    "multi_similarity": lambda: miners.MultiSimilarityMiner(epsilon=0.1),
}


class Sides:
    """For each anchor the images of its class, and the others, among the pairs that a miner chose."""

    def __init__(self, embeddings, labels, mined):
        self.embeddings, self.labels = embeddings, labels
        self.similarity = embeddings @ embeddings.T
        self.distance = torch.cdist(embeddings, embeddings)
        self.pairs = [indices.tolist() for indices in lmu.convert_to_pairs(mined, labels)]

    def anchors(self):
        a1, p, a2, n = self.pairs
        for anchor in range(len(self.labels)):
            yield (
                anchor,
                sorted({image for a, image in zip(a1, p) if a == anchor}),
                sorted({image for a, image in zip(a2, n) if a == anchor}),
            )

    def similarities(self):
        for anchor, positives, negatives in self.anchors():
            yield self.similarity[anchor, positives], self.similarity[anchor, negatives]


def per_image(of_anchor):
    """The sum over the anchors with pairs of both kinds, over the number of images."""

    def value(sides, **settings):
        both = [(p, n) for p, n in sides.similarities() if len(p) and len(n)]
        return sum((of_anchor(p, n, **settings) for p, n in both), torch.zeros(())) / len(sides.labels)

    return value


def softplus(x):
    return torch.log1p(torch.exp(x))


def contrastive(sides, pos_margin, neg_margin, power):
    a1, p, a2, n = sides.pairs
    parts = [sides.distance[a1, p] - pos_margin, neg_margin - sides.distance[a2, n]]
    parts = [part[part > 0] ** power for part in parts]
    return sum(part.mean() for part in parts if len(part))


def contrastive_dm(sides, margin):
    a1, p, a2, n = sides.pairs
    negative = sides.similarity[a2, n]
    return ((1 - sides.similarity[a1, p]).sum() + negative[negative > margin].sum()) / len(sides.labels)


def lifted_dm(p, n, alpha, beta):
    return 2 / beta * torch.exp(-beta * p).sum().log() + 2 / alpha * torch.exp(alpha * n).sum().log()


def binomial(sides, alpha, base, cost):
    a1, p, a2, n = sides.pairs
    pull = softplus(-alpha * (sides.similarity[a1, p] - base))
    push = softplus(alpha * cost * (sides.similarity[a2, n] - base))
    return sum(part.mean() for part in (pull, push) if len(part))


def binomial_dm(p, n, alpha, beta, base, scaled):
    pull, push = softplus(-beta * (p - base)).mean(), softplus(alpha * (n - base)).mean()
    return 2 / beta * pull + 2 / alpha * push if scaled else pull + push


def nca_dm(p, n, alpha, k):
    everything = torch.cat([p, n]).sort(descending=True).values
    threshold = everything[k] if k < len(everything) else -math.inf
    within = p[p > threshold] if (p > threshold).any() else p.max()
    positive, negative = torch.exp(alpha * within).sum(), torch.exp(alpha * n[n > threshold]).sum()
    return -torch.log(positive / (positive + negative))


def semi_hard_dm(p, n, alpha, beta, base):
    p, n = p[p > n.min()], n[n < p.max()]
    if not len(p) or not len(n):
        return torch.zeros(())
    pull, push = torch.exp(-beta * (p - base)).sum(), torch.exp(alpha * (n - base)).sum()
    return 2 / beta * torch.log1p(pull) + 2 / alpha * torch.log1p(push)


def hard_mining_dm(p, n, margin):
    p, n = p[p < n.max() + margin], n[n > p.min() - margin]
    return (1 - p).mean() + n.mean() if len(p) and len(n) else torch.zeros(())


def with_positives(sides):
    """Similarities of all pairs, whatever a miner chose, for anchors with a positive; and the anchors' weights."""
    n = len(sides.labels)
    for anchor in range(n):
        others = [image for image in range(n) if image != anchor]
        same = [image for image in others if sides.labels[image] == sides.labels[anchor]]
        if same:
            yield anchor, sides.similarity[anchor, same], sides.similarity[anchor, others]


def rank(of, among, temperature):
    """The sigmoid of 0 stands for the image itself."""
    return 0.5 + torch.sigmoid((among - of) / temperature).sum()


def smooth_ap(sides, temperature, weights, itself):
    assert not itself
    terms = []
    for anchor, same, others in with_positives(sides):
        precision = [rank(of, same, temperature) / rank(of, others, temperature) for of in same]
        terms.append((1 - sum(precision) / len(precision)) * weights[anchor])
    return torch.stack(terms).mean()


def recall_at_k(sides, ks, rank_temperature, k_temperature):
    terms = []
    for _, same, others in with_positives(sides):
        ranks = torch.stack([rank(of, others, rank_temperature) for of in same])
        for k in ks:
            found = torch.sigmoid((k - ranks) / k_temperature).sum()
            terms.append(1 - torch.clamp(found, max=k) / min(k, len(same)))
    return torch.stack(terms).mean()


def squared_distances(embeddings):
    return (embeddings[:, None] - embeddings[None]).square().sum(2)


def tree_of_classes(embeddings, labels):
    """Heights at which two classes are joined, the spread of each class, and the mean spread."""
    known = squared_distances(embeddings).detach()
    classes = sorted(set(labels.tolist()))
    members = {c: [i for i, label in enumerate(labels) if label == c] for c in classes}
    height = {
        (c, d): float(np.mean([known[i, j] for i in members[c] for j in members[d]])) for c in classes for d in classes
    }
    spread = {}
    for c in classes:
        within = [float(known[i, j]) for i in members[c] for j in members[c] if i != j]
        spread[c] = np.mean(within) if within else 0.0
    mean_spread = np.mean([spread[c] for c in classes if len(members[c]) > 1])
    for by in classes:
        for c in classes:
            for d in classes:
                height[c, d] = min(height[c, d], max(height[c, by], height[by, d]))
    return height, spread, mean_spread


def hierarchical_triplet(sides, margin, levels, triplets, tree=None):
    squared = squared_distances(sides.embeddings)
    height, spread, mean_spread = tree or tree_of_classes(sides.embeddings, sides.labels)
    thresholds = [mean_spread + (4 - mean_spread) * level / levels for level in range(levels + 1)]
    terms = []
    for a, p, n in zip(*[indices.tolist() for indices in triplets]):
        own, other = int(sides.labels[a]), int(sides.labels[n])
        level = next(threshold for threshold in thresholds if threshold >= height[own, other])
        terms.append(torch.relu(squared[a, p] - squared[a, n] + margin + level - spread[own]) / 2)
    return torch.stack(terms).mean()


def mutual_information(clusters, classes):
    """Normalised with the geometric mean of the entropies."""

    def entropy(names):
        shares = np.array([names.count(name) for name in set(names)]) / len(names)
        return -(shares * np.log(shares)).sum()

    one, other = entropy(clusters), entropy(classes)
    if one == 0 or other == 0:
        return 0.0
    return (one + other - entropy(list(zip(clusters, classes)))) / math.sqrt(one * other)


def clustering(sides, gamma, refinements, refinement="objective"):
    known = sides.distance.detach().clone()
    known.fill_diagonal_(0.0)
    classes = sides.labels.tolist()
    images = range(len(classes))

    def clusters(medoids):
        return [medoids.index(i) if i in medoids else int(known[i, medoids].argmin()) for i in images]

    def objective(medoids):
        of = clusters(medoids)
        away = sum(float(known[i, medoids[cluster]]) for i, cluster in enumerate(of))
        return gamma * (1 - mutual_information(of, classes)) - away

    medoids = []
    for _ in set(classes):
        medoids = max([medoids + [i] for i in images if i not in medoids], key=objective)
    def upward():
        found = medoids
        for place in range(len(found)):
            of = clusters(found)
            moved = [found[:place] + [i] + found[place + 1 :] for i in images if of[i] == place]
            found = max([found, *moved], key=objective)
        return found

    # As the description of TensorFlow's `cluster_loss` has it: members and their distances are those before the round.
    def within():
        found, of = list(medoids), clusters(medoids)
        for place in range(len(found)):
            members = [i for i in images if of[i] == place]

            def score(medoid):
                moved = clusters(found[:place] + [medoid] + found[place + 1 :])
                return gamma * (1 - mutual_information(moved, classes)) - float(known[members, medoid].sum())

            found[place] = max(members, key=score)
        return found

    for _ in range(refinements):
        medoids = {"objective": upward, "pam": within}[refinement]()
    of = clusters(medoids)
    found = sum(sides.distance[i, medoids[of[i]]] for i in images if i != medoids[of[i]])
    right = 0
    for name in set(classes):
        members = [i for i in images if classes[i] == name]
        best = min(members, key=lambda medoid: float(known[members, medoid].sum()))
        right = right + sum(sides.distance[i, best] for i in members if i != best)
    return torch.relu(right - found + gamma * (1 - mutual_information(of, classes)))


def formula(function):
    def value(embeddings, labels, mined, settings):
        return function(Sides(embeddings, labels, mined), **settings)

    return value


def library(make):
    def value(embeddings, labels, mined, settings):
        return make(**settings)(embeddings, labels, mined)

    return value


def with_weights(embeddings, labels, mined, settings):
    weights = lmu.convert_to_weights(mined, labels, dtype=embeddings.dtype)
    return smooth_ap(Sides(embeddings, labels, mined), weights=weights, **settings)


def with_triplets(embeddings, labels, mined, settings):
    triplets = lmu.convert_to_triplets(mined, labels, t_per_anchor="all")
    return hierarchical_triplet(Sides(embeddings, labels, mined), triplets=triplets, **settings)


def with_surveyed_triplets(tree):
    def value(embeddings, labels, mined, settings):
        triplets = lmu.convert_to_triplets(mined, labels, t_per_anchor="all")
        own = {name: settings[name] for name in ["margin", "levels"]}
        return hierarchical_triplet(Sides(embeddings, labels, mined), triplets=triplets, tree=tree, **own)

    return value


def in_double(loss, *arguments):
    """Some losses make tensors of the default precision on their way."""
    torch.set_default_dtype(torch.float64)
    found = loss(*arguments)
    torch.set_default_dtype(torch.float32)
    return found


def histogram(embeddings, labels, mined, settings):
    return in_double(losses.HistogramLoss(n_bins=settings["bins"]), embeddings, labels, mined)


def smooth_ap_with_itself(embeddings, labels, mined, settings):
    return in_double(losses.SmoothAPLoss(settings["temperature"]), embeddings, labels, mined)


def settings_of(names, *rows):
    return [dict(zip(names.split(), row)) for row in rows]


# Defaults first. Losses that no miner concerns say so.
ALL, NONE = list(MINERS), ["none"]
MARGINS = settings_of("neg_margin pos_margin", (1.0, 0.0), (1.5, 0.2), (0.4, -0.3))
LOSSES = {
    "contrastive": (
        formula(contrastive),
        settings_of("pos_margin neg_margin power", (0.0, 1.0, 2.0), (0.25, 1.3, 3.0), (-0.1, 0.9, 1.5)),
        ALL,
    ),
    "contrastive_dm": (formula(contrastive_dm), settings_of("margin", (0.5,), (0.1,), (-0.3,)), ALL),
    "triplet": (
        lambda embeddings, labels, mined, settings: losses.TripletMarginLoss(
            margin=settings["margin"], swap=settings["swap"], smooth_loss=settings["smooth"]
        )(embeddings, labels, mined),
        settings_of("margin swap smooth", (0.05, True, False), (0.3, False, True), (0.2, True, True)),
        ALL,
    ),
    "lifted": (library(losses.LiftedStructureLoss), MARGINS, ALL),
    "generalized_lifted": (library(losses.GeneralizedLiftedStructureLoss), MARGINS, ALL),
    "lifted_dm": (formula(per_image(lifted_dm)), settings_of("alpha beta", (40.0, 2.0), (5.0, 3.0), (60.0, 30.0)), ALL),
    "binomial": (
        formula(binomial),
        settings_of("alpha base cost", (2.0, 0.5, 25.0), (3.0, 0.2, 2.0), (1.0, -0.1, 40.0)),
        ALL,
    ),
    "binomial_dm": (
        formula(per_image(binomial_dm)),
        settings_of("alpha beta base scaled", (40.0, 2.0, 0.5, False), (40.0, 2.0, 0.5, True), (9.0, 3.0, 0.1, False)),
        ALL,
    ),
    "nca": (
        lambda embeddings, labels, mined, settings: losses.NCALoss(softmax_scale=settings["scale"])(
            embeddings, labels, mined
        ),
        settings_of("scale", (1.0,), (9.0,), (0.3,)),
        ALL,
    ),
    "nca_dm": (formula(per_image(nca_dm)), settings_of("alpha k", (16.0, 32), (16.0, 3), (4.0, 1)), ALL),
    "semi_hard_dm": (
        formula(per_image(semi_hard_dm)),
        settings_of("alpha beta base", (40.0, 2.0, 0.5), (5.0, 3.0, 0.1), (20.0, 8.0, 0.3)),
        ALL,
    ),
    "hard_mining_dm": (formula(per_image(hard_mining_dm)), settings_of("margin", (0.1,), (0.4,), (-0.1,)), ALL),
    "nt_xent": (library(losses.NTXentLoss), settings_of("temperature", (0.07,), (0.5,), (0.02,)), ALL),
    "sup_con": (library(losses.SupConLoss), settings_of("temperature", (0.1,), (0.5,), (0.02,)), ALL),
    "circle": (
        lambda embeddings, labels, mined, settings: losses.CircleLoss(m=settings["margin"], gamma=settings["gamma"])(
            embeddings, labels, mined
        ),
        settings_of("margin gamma", (0.4, 80.0), (0.25, 256.0), (0.1, 4.0)),
        ALL,
    ),
    "snr_contrastive": (
        library(losses.SignalToNoiseRatioContrastiveLoss),
        settings_of("pos_margin neg_margin", (0.0, 1.0), (0.3, 0.8), (0.1, 2.0)),
        ALL,
    ),
    "n_pair": (library(losses.NPairsLoss), [{}], ALL),
    "angular": (library(losses.AngularLoss), settings_of("alpha", (40,), (20,), (55,)), ALL),
    "fast_ap": (
        lambda embeddings, labels, mined, settings: losses.FastAPLoss(num_bins=settings["bins"])(
            embeddings, labels, mined
        ),
        settings_of("bins", (10,), (4,), (20,)),
        ALL,
    ),
    "histogram": (
        histogram,
        settings_of("bins", (100,), (10,), (7,)),
        ALL,
    ),
    "smooth_ap_others": (
        with_weights,
        settings_of("temperature itself", (0.01, False), (0.1, False), (1.0, False)),
        ALL,
    ),
    "recall_at_k": (
        formula(recall_at_k),
        settings_of(
            "ks rank_temperature k_temperature",
            ([1, 2, 4, 8, 16], 0.01, 1.0),
            ([1, 3], 0.1, 0.5),
            ([2], 1.0, 2.0),
        ),
        NONE,
    ),
    "hierarchical_triplet": (with_triplets, settings_of("margin levels", (0.1, 16), (0.3, 4), (0.0, 40)), ALL),
    "clustering": (formula(clustering), settings_of("gamma refinements", (1.0, 5), (3.0, 0), (0.2, 2)), NONE),
}

REGULARIZERS = {
    "lp_norm": (regularizers.LpRegularizer, settings_of("p power", (2, 1), (1, 2), (3, 2))),
    "zero_mean": (regularizers.ZeroMeanRegularizer, [{}]),
    "center_invariant": (regularizers.CenterInvariantRegularizer, [{}]),
}


def cases_of(raw, value, settings, names, labels=LABELS):
    """The defaults with every miner, other settings without one."""
    labels = torch.tensor(labels)
    for place, setting in enumerate(settings):
        for name in names if place == 0 else NONE:
            embeddings = torch.tensor(raw, requires_grad=True)
            normalized = F.normalize(embeddings)
            miner = MINERS[name]()
            found = value(normalized, labels, miner(normalized, labels) if miner else None, setting)
            found.backward()
            yield {
                "settings": setting,
                "miner": name,
                "value": found.item(),
                "gradient": embeddings.grad.tolist(),
            }


# With other embeddings as references, those without a memory's quirks; settings are their usual ones.
WITH_REFERENCES = {
    "contrastive": lambda: losses.ContrastiveLoss(),
    "triplet": lambda: losses.TripletMarginLoss(),
    "generalized_lifted": lambda: losses.GeneralizedLiftedStructureLoss(),
    "nca": lambda: losses.NCALoss(),
    "multi_similarity": lambda: losses.MultiSimilarityLoss(),
    "nt_xent": lambda: losses.NTXentLoss(),
    "sup_con": lambda: losses.SupConLoss(),
    "circle": lambda: losses.CircleLoss(),
    "snr_contrastive": lambda: losses.SignalToNoiseRatioContrastiveLoss(),
    "angular": lambda: losses.AngularLoss(),
}


def with_references(raw, others):
    """None of the references is an image of the batch."""
    labels, other_labels = torch.tensor(LABELS), torch.tensor(OTHER_LABELS)
    others = F.normalize(torch.tensor(others))
    for loss, make in WITH_REFERENCES.items():
        for name in MINERS:
            embeddings = torch.tensor(raw, requires_grad=True)
            normalized, miner = F.normalize(embeddings), MINERS[name]()
            mined = miner(normalized, labels, others, other_labels) if miner else None
            found = make()(normalized, labels, mined, others, other_labels)
            found.backward()
            yield {"loss": loss, "miner": name, "value": found.item(), "gradient": embeddings.grad.tolist()}


def pair_losses(write):
    random = np.random.default_rng(20171007)
    raw = random.standard_normal((len(LABELS), 4)).round(3)
    for loss, (value, settings, names) in LOSSES.items():
        cases = list(cases_of(raw, value, settings, names))
        write("loss", loss, {"embeddings": raw.tolist(), "labels": LABELS, "cases": cases})
    others = random.standard_normal((7, 4)).round(3)
    values = {"embeddings": raw.tolist(), "labels": LABELS, "references": others.tolist()}
    values |= {"reference_labels": OTHER_LABELS, "cases": list(with_references(raw, others))}
    write("loss", "references", values)
    # The library wants as many classes as images of each, in order.
    labels, raw_of_nine = [0, 0, 0, 1, 1, 1, 2, 2, 2], raw[:9]
    settings = settings_of("temperature itself", (0.01, True), (0.1, True), (1.0, True))
    cases = list(cases_of(raw_of_nine, smooth_ap_with_itself, settings, ALL, labels))
    write("loss", "smooth_ap", {"embeddings": raw_of_nine.tolist(), "labels": labels, "cases": cases})
    # The two rules of refinement differ only in larger batches.
    labels = [image % 6 for image in range(24)]
    raw_of_many = random.standard_normal((len(labels), 3)).round(3)
    settings = [
        {"gamma": gamma, "refinements": refinements, "refinement": rule}
        for gamma, refinements in [(1.0, 5), (3.0, 5), (15.0, 5), (30.0, 1)]
        for rule in ["objective", "pam"]
    ]
    cases = list(cases_of(raw_of_many, formula(clustering), settings, NONE, labels))
    write("loss", "clustering_rules", {"embeddings": raw_of_many.tolist(), "labels": labels, "cases": cases})
    # The tree is that of a training set of 9 classes, most of which are not in the batch.
    training_labels = [image % 9 for image in range(44)]
    training = random.standard_normal((len(training_labels), 4)).round(3)
    tree = tree_of_classes(F.normalize(torch.tensor(training)), torch.tensor(training_labels))
    settings = settings_of("margin levels tree", (0.1, 16, "survey"), (0.3, 4, "survey"), (0.0, 40, "survey"))
    values = {"training": training.tolist(), "training_labels": training_labels, "embeddings": raw.tolist()}
    values |= {"labels": LABELS, "cases": list(cases_of(raw, with_surveyed_triplets(tree), settings, NONE))}
    write("loss", "hierarchical_triplet_survey", values)
    cases = []
    for name, (make, settings) in REGULARIZERS.items():
        for setting in settings:
            embeddings = torch.tensor(raw, requires_grad=True)
            found = make(**setting)(embeddings)
            found.backward()
            case = {"regularizer": name, "settings": setting, "value": found.item()}
            cases.append({**case, "gradient": embeddings.grad.tolist()})
    write("regularizer", "regularizers", {"embeddings": raw.tolist(), "cases": cases})


def global_loss(write):
    """The global loss of all triplets of a batch, with means and variances as sums over the triplets."""
    raw = np.random.default_rng(20160627).standard_normal((len(LABELS), 4)).round(3)
    cases = []
    for settings in settings_of("margin weight", (0.4, 0.8), (0.9, 2.5), (-0.3, 0.1)):
        embeddings = torch.tensor(raw, requires_grad=True)
        quarter = squared_distances(F.normalize(embeddings)) / 4
        images = range(len(LABELS))
        positive, negative = [], []
        for a in images:
            for p in images:
                for n in images:
                    if a != p and LABELS[a] == LABELS[p] and LABELS[a] != LABELS[n]:
                        positive.append(quarter[a, p])
                        negative.append(quarter[a, n])
        count = len(positive)
        means = [sum(part) / count for part in (positive, negative)]
        variances = [sum((d - mean) ** 2 for d in part) / count for part, mean in zip((positive, negative), means)]
        excess = means[0] - means[1] + settings["margin"]
        found = sum(variances) + settings["weight"] * torch.relu(excess)
        found.backward()
        case = {"settings": settings, "miner": "none", "value": found.item()}
        cases.append({**case, "gradient": embeddings.grad.tolist()})
    write("loss", "global", {"embeddings": raw.tolist(), "labels": LABELS, "cases": cases})
