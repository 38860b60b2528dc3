"""The evaluation as one would write it without this workflow, to be timed against it.

One dense pass over the cache for each metric, a loop over features and images for Moran's I,
`f_classif` for each class or task, scikit-learn's LogisticRegression with its default tolerance
fitted afresh for each class and budget, its areas and scores, and a loop over pairs of images
for M5.
"""

import itertools

import numpy as np
import torch
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

BATCH_IMAGES = 16
RAW = "raw pooling"


def passes(sae):
    """Per metric (and `RAW`), what its dense pass computes of a float16 batch [n, P, D]."""

    def codes(batch):
        x_npd = sae.normalise(torch.from_numpy(batch))
        return x_npd, sae.encode(x_npd)

    def maps(batch):
        codes(batch)

    def pooled_codes(batch):
        return codes(batch)[1].amax(dim=1)

    def error_and_counts(batch):
        x_npd, codes_npf = codes(batch)
        error = ((x_npd - sae.decode(codes_npf)) ** 2).double().sum()
        return error, (codes_npf > 0).sum(dim=(0, 1))

    def pooled_reconstructions(batch):
        return sae.decode(codes(batch)[1]).amax(dim=1)

    def both_pooled(batch):
        _, codes_npf = codes(batch)
        return codes_npf.amax(dim=1), sae.decode(codes_npf).amax(dim=1)

    def pooled_activations(batch):
        activations = torch.from_numpy(batch).float()
        return sae.normalise(activations).amax(dim=1), activations.mean(dim=1)

    return {
        RAW: pooled_activations,
        "localization": maps,
        "fvu": error_and_counts,
        "preservation": pooled_reconstructions,
        "sparse_probing": pooled_codes,
        "monosemanticity": pooled_codes,
        "cross_domain": both_pooled,
        "absorption": pooled_codes,
    }


def evaluable_maps(x_npd, sae, features, minimum_active):
    """float64 [maps, P]: the maps of `features` with enough active patches."""
    codes_nfp = sae.encode(x_npd).transpose(1, 2)[:, features].double().numpy()
    return codes_nfp[(codes_nfp > 0).sum(axis=2) >= minimum_active]


def esda_moran(grid):
    """Moran's I of a map by its standard library, without permutation test: a function."""
    import esda
    import libpysal

    weights = libpysal.weights.lat2W(*grid, rook=False)
    return lambda map_p: esda.Moran(map_p, weights, transformation="B", permutations=0).I


def numpy_moran(grid):
    """Moran's I of a map by its formula: a function."""
    row, column = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    rows, columns = np.abs(row[:, None] - row), np.abs(column[:, None] - column)
    weights = (np.maximum(rows, columns) == 1).astype(float)

    def moran(map_p):
        centred = map_p - map_p.mean()
        spread = centred @ weights @ centred / (centred @ centred)
        return spread * len(map_p) / weights.sum()

    return moran


def ranking(x_nf, labels):
    """Features by descending F-statistic."""
    return np.argsort(-np.nan_to_num(f_classif(x_nf, labels)[0], nan=-1), kind="stable")


def accuracy(x_nf, labels, train, max_iter):
    """Held-out accuracy of a multinomial probe."""
    model = LogisticRegression(max_iter=max_iter).fit(x_nf[train], labels[train])
    return model.score(x_nf[~train], labels[~train])


def class_areas(x_nf, labels, train, label, order, budgets):
    """ROC-AUC and average precision [2, budgets] of one class's probes on its best features."""
    scores = []
    for k in budgets:
        chosen = x_nf[:, order[:k]]
        model = LogisticRegression(max_iter=500).fit(chosen[train], labels[train] == label)
        scores.append(model.decision_function(chosen[~train]))
    return areas(scores, labels[~train] == label)


def areas(scores, positive):
    """ROC-AUC and average precision [2, rows] of rows of decision values."""
    measures = roc_auc_score, average_precision_score
    return [[measure(positive, row) for row in scores] for measure in measures]


def monosemanticity(codes_n, embeddings, top=16):
    """Raw M5 of a feature, pair by pair."""
    codes_n = codes_n.astype(np.float64)
    chosen = np.argsort(-codes_n)[:top]
    units = embeddings[chosen] / np.linalg.norm(embeddings[chosen], axis=1, keepdims=True)
    weights = (codes_n[chosen] - codes_n.min()) / np.ptp(codes_n)
    weighted = mass = 0.0
    for u, v in itertools.combinations(range(top), 2):
        weighted += weights[u] * weights[v] * (units[u] @ units[v])
        mass += weights[u] * weights[v]
    return weighted / mass


def random_similarity(embeddings, seed, top=16):
    """Mean cosine of the pairs of a random group of images, for the baseline of M5."""
    chosen = np.random.default_rng(seed).choice(len(embeddings), top, replace=False)
    units = embeddings[chosen] / np.linalg.norm(embeddings[chosen], axis=1, keepdims=True)
    return np.mean([u @ v for u, v in itertools.combinations(units, 2)])


def sibling_f1(x_nf, labels, train, label, siblings):
    """F1 of the probes of one class against its siblings, with one feature and with four."""
    member = np.isin(labels, siblings)
    fit, test = member & train, member & ~train
    order = ranking(x_nf[fit], labels[fit] == label)
    scores = []
    for k in (1, 4):
        chosen = x_nf[:, order[:k]]
        model = LogisticRegression(max_iter=500).fit(chosen[fit], labels[fit] == label)
        scores.append(f1_score(labels[test] == label, model.predict(chosen[test])))
    return scores
