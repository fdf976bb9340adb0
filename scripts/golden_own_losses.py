"""Golden values of the losses of sweeps/losses, for scripts/golden.py: pytorch-metric-learning in double precision.

Where a module differs from it, which its file says, the reference differs in the same way: see the functions below.
"""

import numpy as np
import torch
from pytorch_metric_learning import losses

random = np.random.default_rng(20250317)
CLASSES, WIDTH = 4, 6
PAIRS = [0, 1, 2, 3, 0, 1, 2, 3]
LABELS = [0, 1, 2, 0, 1, 2, 0, 1, 3, 3, 0, 1]


def normal(*shape):
    """Numbers with three decimals: JSON holds them exactly."""
    return random.standard_normal(shape).round(3)


class DynamicSoftMargin(losses.DynamicSoftMarginLoss):
    """The weights are constants for the gradient."""

    def update_histogram(self, data):
        super().update_histogram(data.detach())


def tuplet_margin(variance_weight, pos_eps, neg_eps, margin, scale):
    tuplet = losses.TupletMarginLoss(margin, scale)
    variance = losses.IntraPairVarianceLoss(pos_eps, neg_eps)
    return lambda embeddings, labels: tuplet(embeddings, labels) + variance_weight * variance(embeddings, labels)


def manifold(context, alpha, margin, proxies):
    """The proxy of an image is that of its class."""
    loss = losses.ManifoldLoss(l=WIDTH, K=CLASSES, lambdaC=context, alpha=alpha, margin=margin)
    loss.proxies = torch.nn.Parameter(proxies)
    return lambda embeddings, labels: loss(embeddings, indices_tuple=labels), loss.proxies


def p2s_grad(weights):
    """Its weights have length one already; their gradient lacks what changes the length."""
    loss = losses.P2SGradLoss(WIDTH, CLASSES)
    loss.weight.data = weights.T.clone()
    return loss


def vicreg(invariance, variance, covariance, eps):
    """The second view of an image is the other image of its class."""
    loss = losses.VICRegLoss(invariance, variance, covariance, eps)
    return lambda embeddings, _: loss(embeddings, ref_emb=embeddings.roll(CLASSES, 0))


def case(module, settings, loss, labels=LABELS, normalize=True, parameters=None, trained=None, tolerance=1e-10):
    """Value and gradient, the latter of the embeddings before they are normalized."""
    raw = normal(len(labels), WIDTH)
    embeddings = torch.tensor(raw, requires_grad=True)
    seen = torch.nn.functional.normalize(embeddings, dim=1) if normalize else embeddings
    value = loss(seen, torch.tensor(labels))
    value.backward()
    found = {"module": module, "settings": settings, "normalize": normalize, "tolerance": tolerance}
    found |= {"embeddings": raw.tolist(), "labels": labels}
    if parameters is not None:
        found["parameters"] = {name: values.tolist() for name, values in parameters.items()}
    if trained is not None:
        found["parameter_gradient"] = trained.grad.tolist()
    return found | {"value": value.item(), "gradient": embeddings.grad.tolist()}


def own_losses():
    for settings in [{"bins": 10}, {"bins": 4}]:
        yield case("dynamic_soft_margin", settings, DynamicSoftMargin(num_bins=settings["bins"]))
    for numbers in [(0.5, 0.01, 0.01, 5.73, 64), (0.0, 0.01, 0.01, 20.0, 8), (2.0, 0.1, 0.2, 5.73, 16)]:
        settings = dict(zip(["variance_weight", "pos_eps", "neg_eps", "margin", "scale"], numbers))
        yield case("tuplet_margin", settings, tuplet_margin(**settings))
    for numbers in [(1.2, 0.4, 0.5, 0.0, 10.0), (1.4, 0.8, 0.3, 2.0, 1.0)]:
        settings = dict(zip(["alpha", "margin", "imbalance", "tp", "tn"], numbers))
        names = {"tp": "Tp", "tn": "Tn"}
        loss = losses.RankedListLoss(**{names.get(key, key): value for key, value in settings.items()})
        yield case("ranked_list", settings, loss)
    # It inverts a matrix in single precision.
    for numbers in [(1.0, 0.8, 5e-4), (0.3, 0.5, 0.01)]:
        settings = dict(zip(["context", "alpha", "margin"], numbers))
        proxies = normal(CLASSES, WIDTH)
        loss, trained = manifold(**settings, proxies=torch.tensor(proxies))
        parameters = {"proxies": proxies}
        yield case("manifold", settings, loss, parameters=parameters, trained=trained, tolerance=1e-6)
    weights = torch.nn.functional.normalize(torch.tensor(normal(CLASSES, WIDTH)), dim=1).numpy()
    loss = p2s_grad(torch.tensor(weights))
    # It divides by lengths to which it adds 1e-7.
    yield case("p2s_grad", {}, loss, parameters={"weights": weights}, tolerance=1e-6)
    for settings in [{"anneal": 0.01}, {"anneal": 0.2}]:
        yield case("pnp", settings, losses.PNPLoss(anneal=settings["anneal"], variant="O"))
    for settings in [{"anneal": 0.01, "alpha": 1.0}, {"anneal": 0.2, "alpha": 4.0}]:
        yield case("pnp_dq", settings, losses.PNPLoss(variant="Dq", **settings))
    # Only where each image is a class of its own. At the default, there is nearly nothing left of the loss.
    for gamma, tolerance in [(64.0, 1e-3), (4.0, 1e-10)]:
        loss = losses.InstanceLoss(gamma)
        yield case("instance", {"gamma": gamma}, loss, labels=list(range(9)), tolerance=tolerance)
    for numbers in [(25.0, 25.0, 1.0, 1e-4), (1.0, 3.0, 2.0, 0.1)]:
        settings = dict(zip(["invariance", "variance", "covariance", "eps"], numbers))
        yield case("vicreg", settings, vicreg(**settings), labels=PAIRS, normalize=False)


def write_all(write):
    write("loss", "own", {"classes": CLASSES, "cases": list(own_losses())})
