"""Golden values of links between heads, of their layers on the map of a tap, and of trainings of twenty steps with both:
src/dml/links/testdata/heads.json, src/dml/model/testdata/auxiliary.json and src/dml/testdata/three_heads.json. Called by golden.py, whose environment it needs.

All of links is written as loops over images, heads, pairs and triplets, in double precision: three linear heads on given
features, boosted, in a cascade, or with a penalty on heads that agree. Weights of boosting come from automatic
differentiation of the loss at the combined margin, reversed gradients from a function of their own.
"""

import math

import numpy as np
import torch

WIDTHS, FEATURES, IMAGES, HIDDEN = [2, 3, 4], 6, 9, 5
LABELS = [0, 1, 2, 0, 1, 2, 0, 3, 3]
random = np.random.default_rng(20270101)


def normal(*shape):
    return random.standard_normal(shape).round(3)


def leaf(numbers):
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def unit(rows):
    return torch.stack([row / row.norm() for row in rows])


def pairs():
    """Positive and negative pairs, row by row."""
    all_pairs = [(a, b) for a in range(IMAGES) for b in range(IMAGES) if a != b]
    return (
        [(a, b) for a, b in all_pairs if LABELS[a] == LABELS[b]],
        [(a, b) for a, b in all_pairs if LABELS[a] != LABELS[b]],
    )


def euclidean(head, a, b):
    return (head[a] - head[b]).norm()


class Binomial:
    """The margin of a pair, and the term of a margin."""

    settings = {"alpha": 2.0, "base": 0.5, "cost": 25.0}

    @staticmethod
    def margin(head, pair, side):
        similarity = (head[pair[0]] * head[pair[1]]).sum()
        return 2.0 * (similarity - 0.5) * (1.0 if side == "positive" else -25.0)

    @staticmethod
    def term(margin):
        return torch.log1p(torch.exp(-margin)) if margin > -30 else -margin + torch.log1p(torch.exp(margin))

    counts_zeros = True


class Contrastive:
    settings = {"pos_margin": 0.2, "neg_margin": 1.1}

    @staticmethod
    def margin(head, pair, side):
        distance = euclidean(head, *pair)
        return 0.2 - distance if side == "positive" else distance - 1.1

    @staticmethod
    def term(margin):
        return torch.clamp(-margin, min=0.0)

    counts_zeros = False


class Triplet:
    settings = {"margin": 0.3}

    @staticmethod
    def margin(head, triplet, side):
        a, p, n = triplet
        return euclidean(head, a, n) - euclidean(head, a, p) - 0.3

    @staticmethod
    def term(margin):
        return torch.clamp(-margin, min=0.0)

    counts_zeros = False


class SmoothTriplet(Triplet):
    settings = {"margin": 0.3, "smooth": True}

    @staticmethod
    def term(margin):
        return torch.log1p(torch.exp(-margin))


LOSSES = {"binomial": Binomial, "contrastive": Contrastive, "triplet": Triplet, "smooth": SmoothTriplet}


def tuples_of(loss):
    positive, negative = pairs()
    if issubclass(loss, Triplet):
        return {"triplets": [(a, p, n) for a, p in positive for b, n in negative if a == b]}
    return {"positive": positive, "negative": negative}


def combined(margins, boost):
    """What the heads so far think of a pair or a triplet."""
    if boost["rule"] == "additive":
        total = boost["initial"]
        for margin in margins:
            total = total + boost["shrinkage"] * margin
        return total
    total = 0.0
    for number, margin in enumerate(margins, start=1):
        step = 2 / (number + 1)
        total = (1 - step) * total + step * margin
    return total


def weight(loss, margins, side, boost):
    """Minus the slope of the loss at the combined margin."""
    if boost is None or not margins:
        return 1.0
    at = combined([margin.detach() for margin in margins], boost).clone().requires_grad_(True)
    slope = -torch.autograd.grad(loss.term(at), at)[0].item()
    return slope * (boost["negatives"] if boost["rule"] == "additive" and side == "negative" else 1.0)


def cost(loss, heads, boost, chosen):
    """The sum over heads of the weighted means of the terms of each side."""
    total = torch.zeros((), dtype=torch.float64)
    for number, head in enumerate(heads):
        for side, members in chosen[number].items():
            value, count = torch.zeros((), dtype=torch.float64), 0
            for member in members:
                term = loss.term(loss.margin(head, member, side))
                earlier = [loss.margin(before, member, side) for before in heads[:number]]
                value = value + weight(loss, earlier, side, boost) * term
                count += 1 if loss.counts_zeros or term.item() > 0 else 0
            total = total + value / max(count, 1)
    return total


def cascaded(loss, heads, shares, of):
    """Of each side, the pairs of each head with the largest losses."""
    everything = tuples_of(loss)
    chosen, candidates = [], everything
    for head, share in zip(heads, shares):
        kept = {}
        for side, members in candidates.items():
            count = math.floor(share * len(everything[side]))
            hardest = sorted(members, key=lambda pair: loss.margin(head, pair, side).item())
            kept[side] = hardest[:count]
        chosen.append(kept)
        candidates = kept if of == "previous" else everything
    return chosen


def linear_heads():
    return {
        "features": normal(IMAGES, FEATURES).tolist(),
        "weights": [(normal(width, FEATURES) * 0.7).round(3).tolist() for width in WIDTHS],
        "biases": [(normal(width) * 0.3).round(3).tolist() for width in WIDTHS],
    }


def of_losses(given):
    """Value and gradients of the losses of three heads, boosted, in a cascade, and both."""
    additive = {"rule": "additive", "shrinkage": 0.06, "initial": 0.5, "negatives": 2.0}
    other = {"rule": "additive", "shrinkage": 0.4, "initial": -0.1, "negatives": 1.0}
    boosts = [None, additive, other, {"rule": "average"}]
    cascades = [None, {"shares": [1.0, 0.5, 0.2], "of": "previous"}, {"shares": [1.0, 0.5, 0.2], "of": "all"}]
    cases = []
    for name, loss in LOSSES.items():
        for boost in boosts:
            for cascade in cascades if not issubclass(loss, Triplet) else [None]:
                features = leaf(given["features"])
                weights = [leaf(matrix) for matrix in given["weights"]]
                biases = [torch.tensor(bias, dtype=torch.float64) for bias in given["biases"]]
                heads = [unit(features @ matrix.T + bias) for matrix, bias in zip(weights, biases)]
                chosen = [tuples_of(loss)] * len(heads)
                if cascade:
                    chosen = cascaded(loss, heads, cascade["shares"], cascade["of"])
                value = cost(loss, heads, boost, chosen)
                value.backward()
                case = {"loss": "triplet" if issubclass(loss, Triplet) else name, "settings": loss.settings}
                case |= {"boost": boost, "cascade": cascade, "value": value.item()}
                case |= {"of_features": features.grad.tolist(), "of_weights": [w.grad.tolist() for w in weights]}
                cases.append(case)
    return cases


class Reversal(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return -gradient


def departures(matrix, by_rows):
    """The mean over rows or columns of the squared departure of their squared lengths from one."""
    lines = matrix if by_rows else matrix.T
    return sum(((line * line).sum() - 1) ** 2 for line in lines) / len(lines)


def activation(outputs, weights, settings):
    penalty = torch.zeros((), dtype=torch.float64)
    for j in range(len(outputs)):
        for i in range(j):
            one, other = outputs[i], outputs[j]
            for image in range(IMAGES):
                for a in range(one.shape[1]):
                    for b in range(other.shape[1]):
                        term = (one[image, a] * other[image, b]) ** 2
                        penalty = penalty + term / (IMAGES * one.shape[1] * other.shape[1])
    growth = sum(departures(matrix, True) for matrix in weights)
    return settings["weight"] * (penalty + settings["norm"] * growth)


def adversarial(outputs, weights, predictors, settings):
    penalty = torch.zeros((), dtype=torch.float64)
    growth = sum(departures(matrix, False) for matrix in weights)
    number = 0
    for i in range(len(outputs)):
        for j in range(i + 1, len(outputs)):
            first, first_bias, second, second_bias = predictors[4 * number : 4 * number + 4]
            number += 1
            to, source = Reversal.apply(outputs[i]), Reversal.apply(outputs[j])
            predicted = torch.clamp(source @ first.T + first_bias, min=0.0) @ second.T + second_bias
            for image in range(IMAGES):
                for a in range(to.shape[1]):
                    penalty = penalty - (to[image, a] * predicted[image, a]) ** 2 / (IMAGES * to.shape[1])
            growth = growth + departures(first, False) + departures(second, False)
            for bias in [first_bias, second_bias]:
                growth = growth + torch.clamp((bias * bias).sum() - 1, min=0.0)
    return settings["weight"] * (penalty + settings["norm"] * growth)


def predictors_of():
    """Two layers for each two heads, in the order of the pairs: weight, bias, weight, bias."""
    layers = []
    for i in range(len(WIDTHS)):
        for j in range(i + 1, len(WIDTHS)):
            shapes = [(HIDDEN, WIDTHS[j]), (HIDDEN,), (WIDTHS[i], HIDDEN), (WIDTHS[i],)]
            layers += [normal(*shape).tolist() for shape in shapes]
    return layers


def of_penalties(given):
    cases = []
    for name, settings in [
        ("activation", {"weight": 0.3, "norm": 2.0}),
        ("activation", {"weight": 1.0, "norm": 0.0}),
        ("adversarial", {"weight": 0.3, "norm": 2.0, "hidden": HIDDEN}),
        ("adversarial", {"weight": 1.0, "norm": 0.0, "hidden": HIDDEN}),
    ]:
        weights = [leaf(matrix) for matrix in given["weights"]]
        features = torch.tensor(given["features"], dtype=torch.float64)
        outputs = [features @ matrix.T for matrix in weights]
        predictors = [leaf(layer) for layer in given["predictors"]]
        if name == "activation":
            value = activation(outputs, weights, settings)
        else:
            value = adversarial(outputs, weights, predictors, settings)
        value.backward()
        case = {"diversity": name, "settings": settings, "value": value.item()}
        case["of_weights"] = [matrix.grad.tolist() for matrix in weights]
        if name == "adversarial":
            case["of_predictors"] = [layer.grad.tolist() for layer in predictors]
        cases.append(case)
    return cases


def auxiliary():
    """The layers of a head on the map of a tap, as in the released network of HDC: averages, a convolution and ReLU."""
    weight, bias = leaf(normal(3, 2, 1, 1)), leaf(normal(3))
    cases = []
    for side in [5, 6, 7, 14]:
        map = leaf(normal(2, 2, side, side))
        averages = torch.nn.functional.avg_pool2d(map, 5, 3, ceil_mode=True)
        value = torch.nn.functional.conv2d(averages, weight, bias).relu().flatten(1)
        slopes = torch.tensor(normal(*value.shape))
        gradients = torch.autograd.grad((value * slopes).sum(), [map, weight, bias])
        of = dict(zip(["of_map", "of_weight", "of_bias"], [gradient.tolist() for gradient in gradients]))
        cases.append({"map": map.tolist(), "value": value.tolist(), "slopes": slopes.tolist(), **of})
    return {"weight": weight.tolist(), "bias": bias.tolist(), "cases": cases}


def pattern(count, index, bound):
    """Numbers between -bound and bound that look disordered; the test has the same formula."""
    return torch.tensor(((np.arange(count) * 7919 + index * 104729) % 2003 - 1001.0) / 1001.0 * bound)


def patterned(shapes, first):
    """Parameters by their names, with patterns from number `first` on; scales of batch norm are near 1."""
    parameters = {}
    for index, (name, shape) in enumerate(shapes.items(), start=first):
        numbers = pattern(math.prod(shape), index, 0.2 if len(shape) == 1 else math.prod(shape[1:]) ** -0.5)
        parameters[name] = (numbers.reshape(shape) + float(name.endswith("bn.weight"))).requires_grad_(True)
    return parameters


def three_heads():
    """The shapes of a conv4 whose heads are at the first map, with auxiliary layers, at the third and at the last one."""
    shapes = {}
    for block, inputs in enumerate([1, 64, 64, 64], start=1):
        shapes |= {f"block{block}.conv.weight": (64, inputs, 3, 3)}
        shapes |= {f"block{block}.bn.weight": (64,), f"block{block}.bn.bias": (64,)}
    shapes |= {"heads.0.auxiliary.weight": (3, 64, 1, 1), "heads.0.auxiliary.bias": (3,)}
    for head, (width, inputs) in enumerate(zip(WIDTHS, [3 * 2 * 2, 64, 64])):
        shapes |= {f"heads.{head}.embedding.weight": (width, inputs), f"heads.{head}.embedding.bias": (width,)}
    return shapes


def features_of(parameters, images):
    functional, maps = torch.nn.functional, [images / 255.0]
    for block in range(1, 5):
        convolution, scale, shift = (parameters[f"block{block}.{part}"] for part in ["conv.weight", "bn.weight", "bn.bias"])
        map = functional.conv2d(maps[-1], convolution, padding=1)
        map = functional.batch_norm(map, None, None, scale, shift, training=True)
        maps.append(functional.max_pool2d(map.relu(), 2))
    weight, bias = (parameters[f"heads.0.auxiliary.{part}"] for part in ["weight", "bias"])
    averages = functional.avg_pool2d(maps[1], 5, 3, ceil_mode=True)
    first = functional.conv2d(averages, weight, bias).relu().flatten(1)
    return [first, maps[3].mean((2, 3)), maps[4].mean((2, 3))]


def trained(name, rate, boost, cascade, diversity):
    """The losses of twenty steps of SGD, and what they made of each parameter."""
    loss, parameters = LOSSES[name], patterned(three_heads(), 0)
    start = {key: value.detach().clone() for key, value in parameters.items()}
    predictors = {}
    if diversity and diversity["key"] == "adversarial":
        for number, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
            shapes = [(HIDDEN, WIDTHS[j]), (HIDDEN,), (WIDTHS[i], HIDDEN), (WIDTHS[i],)]
            predictors |= {f"{number}.{layer}": shape for layer, shape in enumerate(shapes)}
        predictors = patterned(predictors, 50)
    images = torch.tensor([(place * 31 + place // 97) % 256 for place in range(IMAGES * 16 * 16)], dtype=torch.float64)
    images = images.reshape(IMAGES, 1, 16, 16)
    optimizer = torch.optim.SGD([*parameters.values(), *predictors.values()], lr=rate, momentum=0.9)
    losses = []
    for _ in range(20):
        features = features_of(parameters, images)
        layers = [[parameters[f"heads.{head}.embedding.{part}"] for part in ["weight", "bias"]] for head in range(3)]
        heads = [unit(of @ weight.T + bias) for of, (weight, bias) in zip(features, layers)]
        chosen = [tuples_of(loss)] * 3
        if cascade:
            chosen = cascaded(loss, heads, cascade["shares"], cascade["of"])
        value = cost(loss, heads, boost, chosen)
        if diversity:
            weights = [weight for weight, _ in layers]
            outputs = [of.detach() @ weight.T for of, weight in zip(features, weights)]
            if predictors:
                value = value + adversarial(outputs, weights, list(predictors.values()), diversity["settings"])
            else:
                value = value + activation(outputs, weights, diversity["settings"])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    changes = {key: value.detach() - start[key] for key, value in parameters.items()}
    case = {"loss": name, "settings": loss.settings, "rate": rate, "boost": boost, "cascade": cascade, "diversity": diversity}
    case |= {"losses": losses, "norms": {key: change.norm().item() for key, change in changes.items()}}
    return case | {"firsts": {key: change.flatten()[:3].tolist() for key, change in changes.items()}}


def trainings():
    additive = {"rule": "additive", "shrinkage": 0.4, "initial": -0.1, "negatives": 1.0}
    previous = {"shares": [1.0, 0.5, 0.2], "of": "previous"}
    activated = {"key": "activation", "settings": {"weight": 0.3, "norm": 0.1}}
    opposed = {"key": "adversarial", "settings": {"weight": 0.3, "norm": 0.1, "hidden": HIDDEN}}
    return [
        trained("binomial", 5e-7, None, None, None),
        trained("binomial", 5e-7, additive, None, activated),
        trained("binomial", 5e-7, {"rule": "average"}, None, opposed),
        trained("contrastive", 5e-6, None, previous, None),
        trained("contrastive", 5e-6, additive, previous | {"of": "all"}, opposed),
    ]


def write_all(write):
    given = linear_heads()
    given["predictors"] = predictors_of()
    cases = {"cases": of_losses(given), "penalties": of_penalties(given)}
    write("links", "heads", {"labels": LABELS, **given, **cases})
    write("model", "auxiliary", auxiliary())
    write(".", "three_heads", {"cases": trainings()})
