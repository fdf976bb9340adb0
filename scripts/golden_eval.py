"""Golden values of `dml::eval`: retrieval from pytorch-metric-learning, agreement of clusterings from scikit-learn.

AccuracyCalculator gets its neighbours from a sort in double precision in which equally similar references stay in order of
their index, as `dml` defines it; everything else is its own. Its mean reciprocal rank is computed in single precision, so
that alone is recomputed from the same neighbours. Recall@K is by its definition. With cameras, average precision is
scikit-learn's and the rest follows from the ranks. Verification is scikit-learn's ROC curve.
"""

import numpy as np
import torch
from scipy.optimize import brentq
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from sklearn.metrics import adjusted_mutual_info_score, average_precision_score, normalized_mutual_info_score, roc_curve
from sklearn.metrics.cluster import pair_confusion_matrix

RECALL_AT = [1, 2, 4, 8, 10, 100]
NAMES = ["precision_at_1", "r_precision", "mean_average_precision_at_r", "mean_average_precision"]


def in_ball(rows, ball):
    """The exponential map at the center of the Poincare ball, of embeddings cut to a length."""
    lengths, root = np.linalg.norm(rows, axis=1, keepdims=True), np.sqrt(ball["curvature"])
    return rows / lengths * np.tanh(root * np.minimum(lengths, ball["clip"])) / root


def hyperbolic_distances(queries, references, ball):
    """2 / sqrt(c) artanh(sqrt(c) |-x + y|) with the addition of Moebius (Ermolov et al., CVPR 2022), for each pair."""
    c = ball["curvature"]
    x, y = -in_ball(queries, ball)[:, None], in_ball(references, ball)[None]
    xx, yy, xy = (x * x).sum(-1, keepdims=True), (y * y).sum(-1, keepdims=True), (x * y).sum(-1, keepdims=True)
    added = ((1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y) / (1 + 2 * c * xy + c * c * xx * yy)
    return 2 / np.sqrt(c) * np.arctanh(np.sqrt(c) * np.linalg.norm(added, axis=-1))


def similarities(queries, references, comparison):
    queries, references = queries.astype(np.float64), references.astype(np.float64)
    if isinstance(comparison, dict):
        return -hyperbolic_distances(queries, references, comparison)
    if comparison == "euclidean":
        return -((queries[:, None] - references[None]) ** 2).sum(-1)
    if comparison == "cosine":
        queries, references = ((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32).astype(np.float64) for rows in (queries, references))
    return (queries[:, None] * references[None]).sum(-1)


def order(queries, references, comparison, within):
    found = similarities(queries, references, comparison)
    if within:
        np.fill_diagonal(found, -np.inf)
    found = np.argsort(-found, axis=1, kind="stable")
    return found[:, :-1] if within else found


def retrieval_case(name, comparison, embeddings, labels, queries=None, query_labels=None, shared=0):
    """`shared`: how many of the embeddings, from the first on, are the queries too, and do not find themselves."""
    within = queries is None and not shared
    if shared:
        searched = (embeddings[:shared], labels[:shared])
    else:
        searched = (embeddings, labels) if within else (queries, query_labels)
    neighbours = order(searched[0], embeddings, comparison, within or shared > 0)

    def neighbours_of(query, k, reference, ref_includes_query):
        return torch.zeros(neighbours[:, :k].shape), torch.tensor(neighbours[:, :k])

    calculator = AccuracyCalculator(include=NAMES, k=None, knn_func=neighbours_of)
    query, reference = (torch.tensor(rows, dtype=torch.float32) for rows in (searched[0], embeddings))
    found = calculator.get_accuracy(query, torch.tensor(searched[1]), *(() if within else (reference, torch.tensor(labels), shared > 0)))
    right = labels[neighbours] == searched[1][:, None]
    answered = right.any(axis=1)
    right = right[answered]
    expected = {name: float(found[name]) for name in NAMES}
    expected["mean_reciprocal_rank"] = float((1 / (right.argmax(axis=1) + 1)).mean())
    expected["recall"] = {str(k): float(right[:, :k].any(axis=1).mean()) for k in RECALL_AT}
    expected |= macro_means(right, searched[1][answered])
    expected["lone"] = int((~answered).sum())
    case = {"name": name, "comparison": comparison, "embeddings": embeddings.tolist(), "labels": labels.tolist()}
    if shared:
        case |= {"shared": shared}
    elif not within:
        case |= {"queries": queries.tolist(), "query_labels": query_labels.tolist()}
    return case | {"expected": expected}


def macro_means(right, classes):
    """Means over classes of the means over their queries, of which `right` tells which ranks are of their class."""
    sizes = right.sum(axis=1)
    precisions = right.cumsum(axis=1) / np.arange(1, right.shape[1] + 1)
    at_r = np.arange(right.shape[1]) < sizes[:, None]
    values = {"macro_precision_at_1": right[:, 0], "macro_map_at_r": (precisions * right * at_r).sum(axis=1) / sizes}
    return {name: float(np.mean([value[classes == one].mean() for one in np.unique(classes)])) for name, value in values.items()}


def camera_case(name, comparison, embeddings, labels, cameras):
    """By the rule of re-identification: what is of a query's class and camera is taken out of its list before it is scored."""
    found = similarities(embeddings, embeddings, comparison)
    scores = {name: [] for name in [*NAMES, "mean_reciprocal_rank"]}
    recalls, rights, lone = {k: [] for k in RECALL_AT}, [], 0
    for query in range(len(labels)):
        order = np.argsort(-found[query], kind="stable")
        same = (labels[order] == labels[query]) & (cameras[order] == cameras[query])
        right = labels[order][~same & (order != query)] == labels[query]
        if not right.any():
            lone += 1
            continue
        ranks, size = np.flatnonzero(right) + 1, right.sum()
        precisions = np.arange(1, size + 1) / ranks
        values = [right[0], (ranks <= size).sum() / size, precisions[ranks <= size].sum() / size, average_precision_score(right, -np.arange(len(right))), 1 / ranks[0]]
        for name_of_score, value in zip(scores, values):
            scores[name_of_score].append(float(value))
        for k in RECALL_AT:
            recalls[k].append(bool(right[:k].any()))
        rights.append(labels[query])
    expected = {name: float(np.mean(values)) for name, values in scores.items()}
    expected["recall"] = {str(k): float(np.mean(values)) for k, values in recalls.items()}
    rights = np.array(rights)
    by_class = lambda values: float(np.mean([np.array(values)[rights == one].mean() for one in np.unique(rights)]))
    expected["macro_precision_at_1"] = by_class(scores["precision_at_1"])
    expected["macro_map_at_r"] = by_class(scores["mean_average_precision_at_r"])
    return {"name": name, "comparison": comparison, "embeddings": embeddings.tolist(), "labels": labels.tolist(), "cameras": cameras.tolist(), "expected": expected | {"lone": lone}}


def verification_case(name, embeddings, labels):
    """The rates of all pairs, from the curve of scikit-learn with all its thresholds."""
    rows, columns = np.triu_indices(len(labels), 1)
    scores = similarities(embeddings, embeddings, "cosine")[rows, columns]
    far, tar, _ = roc_curve(labels[rows] == labels[columns], scores, drop_intermediate=False)
    rates = {f"tar_at_{text}": float(tar[far <= float(text)].max()) for text in ["1e-1", "1e-3"]}
    rates["eer"] = float(brentq(lambda x: 1 - x - np.interp(x, far, tar), 0, 1, xtol=1e-14))
    return {"name": name, "embeddings": embeddings.tolist(), "labels": labels.tolist()} | rates


def hierarchy_case(name, embeddings, labels, categories, cameras=None):
    """H-AP by its paper, with alpha = 1, and NDCG, query by query."""
    found, levels = similarities(embeddings, embeddings, "cosine"), len(categories) + 1
    scores = []
    for query in range(len(labels)):
        order = np.argsort(-found[query], kind="stable")
        left_out = order == query
        if cameras is not None:
            left_out |= (labels[order] == labels[query]) & (cameras[order] == cameras[query])
        order = order[~left_out]
        level = np.zeros(len(order), int)
        for narrowness, of_level in enumerate(categories[::-1], start=1):
            level[of_level[order] == of_level[query]] = narrowness
        level[labels[order] == labels[query]] = levels
        if not level.any():
            continue
        sizes = np.bincount(level, minlength=levels + 1)
        relevance = np.where(level > 0, level / np.maximum(sizes[level], 1), 0.0)
        ranks = np.arange(1, len(order) + 1)
        h_ranks = np.array([np.minimum(relevance[:rank], relevance[rank - 1]).sum() for rank in ranks])
        gains = 2.0**level - 1
        ideal = np.sort(gains)[::-1]
        scores.append([(h_ranks / ranks).sum() / relevance.sum(), (gains / np.log2(1 + ranks)).sum() / (ideal / np.log2(1 + ranks)).sum()])
    h_ap, ndcg = np.mean(scores, axis=0)
    case = {"name": name, "embeddings": embeddings.tolist(), "labels": labels.tolist(), "categories": [of_level.tolist() for of_level in categories]}
    return case | ({} if cameras is None else {"cameras": cameras.tolist()}) | {"h_ap": float(h_ap), "ndcg": float(ndcg)}


def write_all(write):
    random = np.random.default_rng(5)
    normal = lambda *shape: random.standard_normal(shape).round(3)
    around = lambda labels, width: (normal(len(labels), width) + 0.8 * normal(labels.max() + 1, width)[labels]).round(3)
    balanced = np.arange(40) % 5
    unbalanced = random.permutation(np.repeat(np.arange(8), [9, 6, 2, 1, 12, 1, 3, 1]))
    copies = np.repeat(around(np.arange(12) % 4, 4), 3, axis=0)
    cases = []
    for comparison in ["cosine", "euclidean", "dot"]:
        cases.append(retrieval_case("balanced", comparison, around(balanced, 6), balanced))
        cases.append(retrieval_case("unbalanced, some alone", comparison, around(unbalanced, 6), unbalanced))
        cases.append(retrieval_case("each three times", comparison, copies, random.integers(0, 4, len(copies))))
        cases.append(retrieval_case("collapsed", comparison, np.ones((30, 4)), np.arange(30) // 3))
        queries = np.append(random.integers(0, 8, 24), 2)
        cases.append(retrieval_case("queries and gallery", comparison, around(unbalanced, 6), unbalanced, around(queries, 6), queries))
    random_of_shared = np.random.default_rng(6)
    for comparison in ["cosine", "euclidean", "dot"]:
        embeddings = (random_of_shared.standard_normal((40, 6)) + 0.8 * np.eye(6)[balanced]).round(3)
        cases.append(retrieval_case("a gallery with distractors", comparison, embeddings, balanced, shared=15))
    random_of_cameras = np.random.default_rng(7)
    for comparison in ["cosine", "euclidean", "dot"]:
        labels = random_of_cameras.permutation(np.repeat(np.arange(9), [9, 6, 2, 1, 12, 1, 3, 7, 5]))
        embeddings = (random_of_cameras.standard_normal((len(labels), 6)) + random_of_cameras.standard_normal((9, 6))[labels]).round(3)
        cases.append(camera_case("cameras", comparison, embeddings, labels, random_of_cameras.integers(0, 4, len(labels))))
    write("eval", "retrieval", {"cases": cases})
    random_of_pairs = np.random.default_rng(8)
    pairs = []
    for images, classes, spread in [(120, 10, 0.6), (90, 30, 1.0), (150, 5, 2.0)]:
        labels = random_of_pairs.integers(0, classes, images)
        centers = random_of_pairs.standard_normal((classes, 8))
        embeddings = (centers[labels] + spread * random_of_pairs.standard_normal((images, 8))).round(3)
        pairs.append(verification_case(f"{images} of {classes} classes", embeddings, labels))
    write("eval", "verification", {"cases": pairs})
    random_of_levels = np.random.default_rng(9)
    hierarchies = []
    for name, levels in [("one level", 1), ("three levels", 3)]:
        labels = random_of_levels.integers(0, 24, 130)
        categories = [labels // 3, labels // 6, labels // 12][:levels]
        embeddings = (random_of_levels.standard_normal((24, 6))[labels] + random_of_levels.standard_normal((8, 6))[labels // 3] + random_of_levels.standard_normal((130, 6))).round(3)
        hierarchies.append(hierarchy_case(name, embeddings, labels, categories))
        hierarchies.append(hierarchy_case(f"{name} and cameras", embeddings, labels, categories, random_of_levels.integers(0, 3, 130)))
    write("eval", "hierarchy", {"cases": hierarchies})
    random_of_balls = np.random.default_rng(10)
    balls = []
    for ball in [{"curvature": 0.1, "clip": 2.3}, {"curvature": 0.5, "clip": 0.9}, {"curvature": 1.0, "clip": 1.9}]:
        normals = lambda *shape: random_of_balls.standard_normal(shape)
        centers = 0.8 * normals(8, 6)
        embeddings = (normals(44, 1) ** 2 * centers[unbalanced[:35].repeat(2)[:44]] + 0.5 * normals(44, 6)).round(3)
        labels = unbalanced[:35].repeat(2)[:44]
        balls.append(retrieval_case("each other", ball, embeddings, labels))
        asked = random_of_balls.choice(labels, 20)
        queries = (centers[asked] + 0.5 * normals(20, 6)).round(3)
        balls.append(retrieval_case("queries and gallery", ball, embeddings, labels, queries, asked))
    write("eval", "hyperbolic", {"cases": balls})
    write("eval", "agreement", {"cases": list(agreements(random))})


def agreements(random):
    assignments = {
        "at random": (random.integers(0, 7, 120), random.integers(0, 5, 120)),
        "alike": (np.arange(90) % 9, (np.arange(90) % 9 + (random.random(90) < 0.2)) % 9),
        "equal but for names": (np.arange(30) % 4, 7 - np.arange(30) % 4),
        "one cluster": (np.arange(20) % 4, np.zeros(20, int)),
        "one class": (np.zeros(20, int), np.arange(20) % 3),
        "one of both": (np.zeros(5, int), np.ones(5, int)),
        "each alone": (np.arange(12), np.arange(12)),
        "many small classes": (np.arange(600) // 5, random.permutation(600) // 5),
    }
    for name, (classes, clusters) in assignments.items():
        (_, only_cluster), (only_class, both) = pair_confusion_matrix(classes, clusters)
        pairs = 2 * both + only_cluster + only_class
        yield {
            "name": name,
            "classes": classes.tolist(),
            "clusters": clusters.tolist(),
            "nmi": float(normalized_mutual_info_score(classes, clusters)),
            "ami": float(adjusted_mutual_info_score(classes, clusters)),
            "f1": float(2 * both / pairs) if pairs else 1.0,
        }
