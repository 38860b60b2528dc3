"""Time of the metrics' kernels against the straightforward way; prints a Markdown table.

    PYTHONPATH=workflow_scripts python benchmarks/bench_metrics.py [--processes 2]

Straightforward: one `f_classif` per class or task, scikit-learn's LogisticRegression with its
defaults refitted for every budget, `roc_auc_score` and `average_precision_score` per probe, a
loop over features and pairs of images for M5. Same inputs: synthetic pooled codes, 10 % active.
"""

import argparse
import itertools
import resource
import time
import warnings

import numpy as np
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from visae.auc import average_precision, roc_auc
from visae.metrics.absorption import absorption
from visae.metrics.monosemanticity import monosemanticity, top_images
from visae.metrics.sparse_probing import BUDGETS, accuracy_curve, class_areas, sparse_probing
from visae.rankings import gather_ranked, rank_features
from visae.siblings import SiblingGroup
from visae.splits import stratified_split
from visae.workers import Workers

IMAGES, FEATURES, CLASSES = 2000, 6144, 100
GROUPS = [SiblingGroup(str(i), tuple(range(4 * i, 4 * i + 4))) for i in range(CLASSES // 4)]


def make_codes():
    """Codes float16 [F, N] and labels; half of the features prefer three classes each."""
    random = np.random.default_rng(0)
    labels = np.arange(IMAGES) % CLASSES
    codes_fn = random.gamma(1.0, 1.0, (FEATURES, IMAGES)) * (
        random.random((FEATURES, IMAGES)) < 0.1
    )
    preferred = random.integers(0, CLASSES, (FEATURES // 2, 3))
    for feature, classes in enumerate(preferred):
        fires = np.isin(labels, classes) & (random.random(IMAGES) < 0.5)
        codes_fn[feature, fires] += random.gamma(2.0, 0.7, fires.sum())
    return codes_fn.astype(np.float16), labels


def clock(function, *arguments, **settings):
    """(result, wall seconds, CPU seconds with those of finished children)."""
    cpu, wall = _cpu_seconds(), time.perf_counter()
    result = function(*arguments, **settings)
    return result, time.perf_counter() - wall, _cpu_seconds() - cpu


def _cpu_seconds():
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def slow_rankings(x, labels, train):
    """Ranking of every class by its own f_classif."""
    return [
        np.argsort(-np.nan_to_num(f_classif(x[train], labels[train] == label)[0], nan=-1))[:1024]
        for label in range(CLASSES)
    ]


def slow_one_vs_rest(x, labels, train, order):
    """Decision values [class][budget] of probes refitted for every budget."""
    scores = []
    for label in range(CLASSES):
        y = labels[train] == label
        row = []
        for k in BUDGETS:
            chosen = order[label][:k]
            model = LogisticRegression(max_iter=500).fit(x[train][:, chosen], y)
            row.append(model.decision_function(x[~train][:, chosen]))
        scores.append(row)
    return scores


def slow_areas(scores, labels, train):
    """ROC-AUC and average precision [class][budget] of each probe."""
    return _areas(
        lambda rows, y: [[measure(y, row) for row in rows] for measure in _SCIKIT_LEARN_AREAS],
        scores, labels, train,
    )  # fmt: skip


def fast_areas(scores, labels, train):
    """The same with `visae.auc`."""
    return _areas(
        lambda rows, y: [roc_auc(rows, y), average_precision(rows, y)], scores, labels, train
    )


_SCIKIT_LEARN_AREAS = roc_auc_score, average_precision_score


def _areas(measure, scores, labels, train):
    return np.array([measure(rows, labels[~train] == c) for c, rows in enumerate(scores)])


def slow_accuracy(x, labels, train, overall):
    """Accuracy of multinomial probes refitted for every budget."""
    return [
        LogisticRegression(max_iter=500)
        .fit(x[train][:, overall[:k]], labels[train])
        .score(x[~train][:, overall[:k]], labels[~train])
        for k in BUDGETS
    ]


def slow_monosemanticity(codes_fn, embeddings, features):
    """Raw M5, pair by pair."""
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = []
    for codes_n in codes_fn[features].astype(np.float64):
        chosen = np.argsort(-codes_n)[:16]
        weights = (codes_n - codes_n.min()) / np.ptp(codes_n)
        pairs = list(itertools.combinations(chosen, 2))
        pair_weights = np.array([weights[u] * weights[v] for u, v in pairs])
        cosines = np.array([units[u] @ units[v] for u, v in pairs])
        scores.append(pair_weights @ cosines / pair_weights.sum())
    return np.mean(scores)


def slow_absorption(x, labels, train):
    """M7 task by task."""
    absorbed = []
    for group in GROUPS:
        member = np.isin(labels, group.labels)
        fit, test = member & train, member & ~train
        for label in group.labels:
            f = np.nan_to_num(f_classif(x[fit], labels[fit] == label)[0], nan=-1)
            order = np.argsort(-f)
            f1 = []
            for k in (1, 4):
                model = LogisticRegression(max_iter=500)
                model.fit(x[fit][:, order[:k]], labels[fit] == label)
                f1.append(f1_score(labels[test] == label, model.predict(x[test][:, order[:k]])))
            absorbed.append(f1[0] < 0.8 and f1[1] > 0.5)
    return np.mean(absorbed)


def main(processes):
    warnings.simplefilter("ignore")
    codes_fn, labels = make_codes()
    embeddings = np.random.default_rng(1).normal(size=(IMAGES, 768)).astype(np.float32)
    embeddings += labels[:, None] % 7
    test_mask = stratified_split(labels)
    train = ~test_mask
    x = np.ascontiguousarray(codes_fn.T, dtype=np.float64)
    rank_features(codes_fn[:8], labels, train)  # compiles
    rows = []

    def compare(name, slow, fast, difference):
        rows.append((name, slow[1:], fast[1:], difference(slow[0], fast[0])))

    slow = clock(slow_rankings, x, labels, train)
    fast = clock(rank_features, codes_fn, labels, train, GROUPS)
    rankings = fast[0]
    same = [
        np.isin(a[:128], b[:128]).mean() for a, b in zip(slow[0], rankings.per_class, strict=True)
    ]
    compare(
        "F-statistics and rankings", slow, fast,
        lambda *_: f"same first 128: {np.mean(same):.4f}",
    )  # fmt: skip

    scores = clock(slow_one_vs_rest, x, labels, train, rankings.per_class)
    slow_auc = clock(slow_areas, scores[0], labels, train)
    fast_auc = clock(fast_areas, scores[0], labels, train)
    gathered = gather_ranked(codes_fn, rankings.per_class, rankings.overall)
    with Workers(processes) as workers:
        # Workers' CPU time counts once they have ended, hence the wall clock alone here.
        probes = clock(
            class_areas, gathered, rankings, labels, test_mask, list(BUDGETS), "cpu", workers
        )
    compare(
        "one-vs-rest probes (1100 fits) and areas",
        (slow_auc[0], scores[1] + slow_auc[1], scores[2] + slow_auc[2]),
        (probes[0], probes[1], None),
        lambda a, b: f"AUC within {np.abs(a[:, 0] - b.auc).max():.1e}, "
        f"mean over classes {np.abs((a[:, 0] - b.auc).mean(0)).max():.1e}",
    )  # fmt: skip
    compare(
        "areas alone (1100 × 2)", slow_auc, fast_auc,
        lambda a, b: f"within {np.abs(a - b).max():.1e}",
    )  # fmt: skip

    slow_curve = clock(slow_accuracy, x, labels, train, rankings.overall)
    fast_curve = clock(accuracy_curve, codes_fn[rankings.overall], labels, test_mask, list(BUDGETS))
    compare(
        "multinomial probes (11 fits)", slow_curve, fast_curve,
        lambda a, b: f"accuracy within {np.abs(np.subtract(a, b.accuracy)).max():.4f}",
    )  # fmt: skip
    whole = clock(sparse_probing, codes_fn, rankings, labels, test_mask, processes=processes)
    parts = [scores, slow_auc, slow_curve]
    compare(
        "M4 without rankings",
        (None, sum(part[1] for part in parts), sum(part[2] for part in parts)), whole,
        lambda a, b: f"{sum(b.details['not_converged'].values())} fits not converged",
    )  # fmt: skip

    live = codes_fn.max(axis=1) > 0
    features = top_images(codes_fn, live, 42).features
    slow = clock(slow_monosemanticity, codes_fn, embeddings, features)
    fast = clock(monosemanticity, codes_fn, live, {"x": embeddings}, "x", labels)
    compare(
        "M5 (2048 features; ours with baseline)", slow, fast,
        lambda a, b: f"raw within {abs(a - b.readings['raw']):.1e}",
    )  # fmt: skip

    slow = clock(slow_absorption, x, labels, train)
    fast = clock(absorption, codes_fn, rankings, GROUPS, labels, test_mask, processes=processes)
    compare(
        "M7 (100 tasks; straightforward with its rankings)", slow, fast,
        lambda a, b: f"value {a:.3f} and {b.value:.3f}",
    )  # fmt: skip

    print(f"N {IMAGES}, F {FEATURES}, C {CLASSES}, {processes} processes, seconds wall (CPU)\n")
    print("| kernel | straightforward | visae | ratio | agreement |\n|---|---|---|---|---|")
    for name, slow, fast, agreement in rows:
        fast_text = f"{fast[0]:.2f}" + ("" if fast[1] is None else f" ({fast[1]:.2f})")
        print(
            f"| {name} | {slow[0]:.2f} ({slow[1]:.2f}) | {fast_text} "
            f"| {slow[0] / fast[0]:.1f} | {agreement} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    main(parser.parse_args().processes)
