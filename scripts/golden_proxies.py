"""Golden values of losses with parameters of their own, of further distances and optimizers, for scripts/golden.py.

Values and gradients of pytorch-metric-learning in double precision. Its weights have a column for each class; ours,
and those written here, have a row.
"""

import numpy as np
import torch
from pytorch_metric_learning import distances, losses, miners, regularizers

random = np.random.default_rng(20201012)
CLASSES, WIDTH = 5, 4
# The last class has no image.
LABELS = [0, 1, 2, 0, 1, 2, 0, 1, 3, 3, 0, 1]

MINERS = {
    "none": lambda: None,
    "semi_hard": lambda: miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard"),
    "multi_similarity": lambda: miners.MultiSimilarityMiner(epsilon=0.1),
}


def normal(*shape):
    """Numbers with three decimals: JSON holds them exactly."""
    return random.standard_normal(shape).round(3)


def softtriple(centers, la, gamma, delta, regularizer):
    penalty = {}
    if regularizer:
        penalty["weight_regularizer"] = regularizers.SparseCentersRegularizer(CLASSES, centers)
        penalty["weight_reg_weight"] = regularizer
    return losses.SoftTripleLoss(CLASSES, WIDTH, centers, la, gamma, delta, **penalty)


def margin(margin, beta, boundary, nu):
    return losses.MarginLoss(margin, nu, beta, "all", boundary != "fixed", CLASSES if boundary == "per_class" else None)


# For each loss: how to make it, its parameter's name here and there, whether that has columns for classes, the rows
# for each class, and settings. The first settings are the defaults.
PROXY_LOSSES = {
    "proxy_nca": (
        lambda scale: losses.ProxyNCALoss(CLASSES, WIDTH, softmax_scale=scale),
        ("proxies", "proxies", False),
        [{"scale": 1.0}, {"scale": 9.0}, {"scale": 32.0}],
    ),
    "proxy_nca_pp": (
        lambda temperature: losses.ProxyNCALoss(CLASSES, WIDTH, softmax_scale=1 / temperature),
        ("proxies", "proxies", False),
        [{"temperature": 1 / 9}, {"temperature": 0.05}, {"temperature": 1.0}],
    ),
    "proxy_anchor": (
        lambda margin, alpha: losses.ProxyAnchorLoss(CLASSES, WIDTH, margin, alpha),
        ("proxies", "proxies", False),
        [{"margin": 0.1, "alpha": 32.0}, {"margin": 0.3, "alpha": 8.0}, {"margin": -0.2, "alpha": 1.0}],
    ),
    "normalized_softmax": (
        lambda temperature: losses.NormalizedSoftmaxLoss(CLASSES, WIDTH, temperature),
        ("weights", "W", True),
        [{"temperature": 0.05}, {"temperature": 0.5}, {"temperature": 2.0}],
    ),
    "cos_face": (
        lambda margin, scale: losses.CosFaceLoss(CLASSES, WIDTH, margin=margin, scale=scale),
        ("weights", "W", True),
        [{"margin": 0.35, "scale": 64.0}, {"margin": 0.0, "scale": 10.0}, {"margin": 0.8, "scale": 3.0}],
    ),
    "arc_face": (
        lambda margin, scale: losses.ArcFaceLoss(CLASSES, WIDTH, margin, scale),
        ("weights", "W", True),
        [{"margin": 28.6, "scale": 64.0}, {"margin": 60.0, "scale": 10.0}, {"margin": 0.0, "scale": 30.0}],
    ),
    "soft_triple": (
        softtriple,
        ("centers", "fc", True),
        [
            {"centers": 10, "la": 20.0, "gamma": 0.1, "delta": 0.01, "regularizer": 0.0},
            {"centers": 2, "la": 8.0, "gamma": 1.0, "delta": 0.3, "regularizer": 0.2},
            {"centers": 3, "la": 20.0, "gamma": 0.1, "delta": 0.01, "regularizer": 0.5},
            {"centers": 1, "la": 3.0, "gamma": 5.0, "delta": 0.1, "regularizer": 0.0},
        ],
    ),
}

MARGINS = [
    {"margin": 0.2, "beta": 1.2, "boundary": "fixed", "nu": 0.0},
    {"margin": 0.1, "beta": 0.9, "boundary": "learned", "nu": 0.3},
    {"margin": 0.2, "beta": 1.2, "boundary": "per_class", "nu": 0.2},
    {"margin": 0.4, "beta": 1.2, "boundary": "per_class", "nu": 0.0},
]


# Added later than the others, with a generator of its own: their numbers stay.
SUB_CENTERS = [
    {"margin": 28.6, "scale": 64.0, "sub_centers": 3},
    {"margin": 60.0, "scale": 10.0, "sub_centers": 2},
    {"margin": 0.0, "scale": 30.0, "sub_centers": 1},
]


def sub_center_arc_face(write):
    random = np.random.default_rng(20200823)
    numbers = lambda *shape: random.standard_normal(shape).round(3)
    raw, cases = numbers(len(LABELS), WIDTH), []
    for settings in SUB_CENTERS:
        loss = losses.SubCenterArcFaceLoss(num_classes=CLASSES, embedding_size=WIDTH, **settings)
        for miner in MINERS:
            loss.W = torch.nn.Parameter(torch.tensor(numbers(CLASSES * settings["sub_centers"], WIDTH)).T.clone())
            cases.append(case_of(loss, settings, miner, raw, "weights", loss.W, True))
    write("loss", "sub_center_arc_face", {"embeddings": raw.tolist(), "labels": LABELS, "cases": cases})


# Embeddings keep their lengths, and so do the weights of the first loss.
MULTIPLIED = [{"margin": 4, "scale": 1.0}, {"margin": 2, "scale": 5.0}, {"margin": 3, "scale": 0.5}]


def multiplied_angles(write):
    random = np.random.default_rng(20161202)
    numbers = lambda *shape: random.standard_normal(shape).round(3)
    for name, make in [("large_margin_softmax", losses.LargeMarginSoftmaxLoss), ("sphere_face", losses.SphereFaceLoss)]:
        raw, cases = numbers(len(LABELS), WIDTH), []
        for settings in MULTIPLIED:
            loss = make(num_classes=CLASSES, embedding_size=WIDTH, **settings)
            loss.W = torch.nn.Parameter(torch.tensor(numbers(CLASSES, WIDTH)).T.clone())
            cases.append(case_of(loss, settings, "none", raw, "weights", loss.W, True) | {"raw": True})
        write("loss", name, {"embeddings": raw.tolist(), "labels": LABELS, "cases": cases})


def threshold_consistent_margin(write):
    random = np.random.default_rng(20240507)
    raw, cases = random.standard_normal((len(LABELS), WIDTH)).round(3), []
    for pos_margin, neg_margin in [(0.9, 0.5), (0.2, -0.1), (0.95, 0.0)]:
        loss = losses.ThresholdConsistentMarginLoss(margin_plus=pos_margin, margin_minus=neg_margin)
        settings = {"pos_margin": pos_margin, "neg_margin": neg_margin}
        cases += [case_of(loss, settings, miner, raw, None, None, False) for miner in MINERS]
    write("loss", "threshold_consistent_margin", {"embeddings": raw.tolist(), "labels": LABELS, "cases": cases})


def case_of(loss, settings, miner, raw, name, parameter, by_column):
    """Value and gradients, the latter of the embeddings before they are normalized and of the parameter."""
    embeddings, labels = torch.tensor(raw, requires_grad=True), torch.tensor(LABELS)
    chooses = MINERS[miner]()
    value = loss(embeddings, labels, chooses(embeddings, labels) if chooses else None)
    value.backward()
    case = {"settings": settings, "miner": miner, "value": value.item(), "gradient": embeddings.grad.tolist()}
    if parameter is None or parameter.grad is None:
        return case
    rows = lambda tensor: (tensor.T if by_column else tensor).tolist()
    return case | {"parameters": {name: rows(parameter.data)}, "parameter_gradients": {name: rows(parameter.grad)}}


def proxy_losses(write):
    for loss_name, (make, (name, attribute, by_column), all_settings) in PROXY_LOSSES.items():
        raw, cases = normal(len(LABELS), WIDTH), []
        for number, settings in enumerate(all_settings):
            loss = make(**settings)
            values = torch.tensor(normal(CLASSES * settings.get("centers", 1), WIDTH))
            for miner in MINERS if number == 0 else ["none"]:
                parameter = torch.nn.Parameter((values.T if by_column else values).clone())
                setattr(loss, attribute, parameter)
                cases.append(case_of(loss, settings, miner, raw, name, parameter, by_column))
        write("loss", loss_name, {"embeddings": raw.tolist(), "labels": LABELS, "cases": cases})


def margin_loss(write):
    raw, cases = normal(len(LABELS), WIDTH), []
    for settings in MARGINS:
        for miner in MINERS if settings["boundary"] != "learned" else ["none"]:
            loss = margin(**settings)
            beta = torch.full_like(loss.beta.data, settings["beta"], dtype=torch.double)
            if settings["boundary"] == "per_class":
                beta = beta + torch.tensor(normal(CLASSES) * 0.25)
            loss.beta = torch.nn.Parameter(beta) if loss.learn_beta else beta
            cases.append(case_of(loss, settings, miner, raw, "beta", loss.beta, False))
    write("loss", "margin", {"embeddings": raw.tolist(), "labels": LABELS, "cases": cases})


DISTANCES = {
    "euclidean": (distances.LpDistance, {"p": 2}),
    "squared_euclidean": (distances.LpDistance, {"p": 2, "power": 2}),
    "l1": (distances.LpDistance, {"p": 1}),
    "l3": (distances.LpDistance, {"p": 3}),
    "dot_product": (distances.DotProductSimilarity, {}),
    "cosine": (distances.CosineSimilarity, {}),
    "signal_to_noise": (distances.SNRDistance, {}),
}


def all_distances(write):
    """Matrices, and gradients of their sum weighted by `weights`. Only the cosine has its embeddings normalized. The
    gradient of the matrix of the queries with themselves, with zeros on its diagonal, comes without these zeros."""
    queries, references, weights = normal(4, 3), normal(5, 3), normal(4, 5)
    cases = []
    for name, (make, settings) in DISTANCES.items():
        distance = make(**settings) if name == "cosine" else make(normalize_embeddings=False, **settings)
        x, y = torch.tensor(queries, requires_grad=True), torch.tensor(references, requires_grad=True)
        matrix = distance(x, y)
        (matrix * torch.tensor(weights)).sum().backward()
        case = {"distance": name, "is_inverted": distance.is_inverted, "matrix": matrix.tolist()}
        cases.append(case | {"queries_gradient": x.grad.tolist(), "references_gradient": y.grad.tolist()})
    values = {"queries": queries, "references": references, "weights": weights}
    write(".", "distances", {name: value.tolist() for name, value in values.items()} | {"cases": cases})


def further_optimizers(write):
    """Twenty steps with given gradients."""
    start, gradients = normal(5), normal(20, 5)
    gradients[:, 3] *= 1e-4
    gradients[5:9, 4] = 0.0
    cases = []
    for name, make, settings in [
        ("rms_prop", torch.optim.RMSprop, {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.0}),
        ("rms_prop", torch.optim.RMSprop, {"lr": 1e-6, "alpha": 0.99, "eps": 1e-8, "momentum": 0.9, "weight_decay": 1e-4}),
        ("rms_prop", torch.optim.RMSprop, {"lr": 0.1, "alpha": 0.5, "eps": 1e-3, "momentum": 0.5, "weight_decay": 0.01}),
        ("adam_w", torch.optim.AdamW, {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 1e-2}),
        ("adam_w", torch.optim.AdamW, {"lr": 0.1, "betas": [0.5, 0.9], "eps": 1e-3, "weight_decay": 0.3}),
    ]:
        parameters = torch.tensor(start, requires_grad=True)
        optimizer = make([parameters], foreach=False, **settings)
        path = []
        for gradient in gradients:
            parameters.grad = torch.tensor(gradient)
            optimizer.step()
            path.append(parameters.tolist())
        cases.append({"rule": name, "settings": settings, "path": path})
    write("optim", "further_steps", {"start": start.tolist(), "gradients": gradients.tolist(), "cases": cases})


def write_all(write):
    proxy_losses(write)
    margin_loss(write)
    all_distances(write)
    further_optimizers(write)
    sub_center_arc_face(write)
    multiplied_angles(write)
    threshold_consistent_margin(write)
