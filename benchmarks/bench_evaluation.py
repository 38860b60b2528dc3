"""The whole evaluation of one SAE against the straightforward way; prints Markdown tables.

    PYTHONPATH=workflow_scripts python benchmarks/bench_evaluation.py [--threads 2]

Ours: the functions that the rules call, from a cache of N images and a small out-of-domain one to
scores M1 to M7. Straightforward: `straightforward.py` on the same files and cores, each part on
a sample of its features, classes, tasks or images, scaled up by the factor that is printed.
"""

import argparse
import multiprocessing
import tempfile
import warnings
from pathlib import Path

import numpy as np
import straightforward
import torch
from synthetic import PlantedImages, floor_product, read_everything, tied_sae, write_cache
from timing import Timing, clock, peak_megabytes, total

from visae.activations.cache import ActivationCache
from visae.base.paths import RAW as RAW_SOURCE
from visae.base.paths import Paths, place
from visae.base.pools import Workers
from visae.encoding.raw_pass import reduce_raw
from visae.encoding.reductions import RawReductions, SaeReductions
from visae.encoding.sae_pass import encode_activations
from visae.evals.cross_domain.entry import BUDGET
from visae.evals.entry import defaults
from visae.evals.inputs import Job, opened
from visae.evals.shelf import EVALS, paper_metrics
from visae.evals.sparse_probing.entry import BUDGETS
from visae.images.index import ClassRecord, ImageIndex, write_classes
from visae.probing.auc import average_precision, roc_auc
from visae.probing.multinomial import write_probe
from visae.probing.rankings import gather_ranked, rank_features, write_rankings
from visae.probing.raw_probes import fit_domain_probe, fit_raw_probe
from visae.probing.readout import accuracy_curve, class_areas, eligible_rows
from visae.probing.siblings import read_sibling_groups
from visae.probing.splits import read_split, stratified_split, write_split
from visae.sae.checkpoint import load_sae, save_sae

EVALUATION, TRAIN, TEST = "images/val", "domain/train", "domain/test"
QUARTER = "images/quarter"
SPLITS = (EVALUATION, TRAIN, TEST)
DOMAIN_IMAGES, DOMAIN_CLASSES = 200, 20
"""Of each split of the out-of-domain data set."""

MINIMUM_ACTIVE = (5, 1, 20)
SETTINGS = {metric: defaults(EVALS[metric].settings) for metric in paper_metrics()}
SETTINGS["cross_domain"]["headline"] = "domain"
"""Metric → its settings, those of config.yaml."""
SEED, SIBLINGS = 42, 4

PASS, RAW, RANKINGS = "encoding pass", straightforward.RAW, "F-statistics and rankings"
ONE_VS_REST, MULTINOMIAL = "one-vs-rest probes", "multinomial probes"
"""Names of parts; a metric's part has the name of the metric."""

PASS_IMAGES, MAPS, FEATURES, CLASSES = 48, 400, 40, 5
"""What the straightforward ways are timed on."""


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=14, help="patches per side")
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--features", type=int, default=6144)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--l0", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the caches are put (900 MB)")
    return parser.parse_args()


class Files:
    """Where the inputs and results of the evaluation lie, below a folder: as in a study."""

    PLACE = place("backbone", 11)

    def __init__(self, folder):
        self.folder, self.sae, self.paths = folder, folder / "sae", Paths(str(folder))
        self.split = Path(self.paths.probe_split("images"))
        self.classes = Path(self.paths.classes("images"))

    def __call__(self, kind, split):
        dataset = split.split("/")[0]
        match kind:
            case "cache":
                return Path(self.paths.cache(split, self.PLACE))
            case "raw":
                return Path(self.paths.reductions(RAW_SOURCE, split, self.PLACE))
            case "reductions":
                return Path(self.paths.reductions("sae", split, self.PLACE))
            case "rankings":
                return Path(self.paths.rankings("sae", dataset, self.PLACE))
            case "probe":
                return Path(self.paths.raw_probe(dataset, self.PLACE))


# ---------------------------------------------------------------- inputs


def write_inputs(files, arguments):
    """Caches of the splits, and an SAE with the directions of which their tokens are made."""
    side, width, features = arguments.side, arguments.width, arguments.features
    planted = PlantedImages(features, width, side, arguments.classes)
    write_cache(files("cache", QUARTER), planted.batch(arguments.images // 4), side, width, True)
    write_cache(files("cache", EVALUATION), planted.batch(arguments.images), side, width)
    strangers = PlantedImages(features, width, side, DOMAIN_CLASSES)
    for split in (TRAIN, TEST):
        write_cache(files("cache", split), strangers.batch(DOMAIN_IMAGES), side, width)
    with ActivationCache(files("cache", QUARTER)) as cache:
        sample = torch.from_numpy(cache.read_chunk(0)[:16]).flatten(0, 1)
        sae = tied_sae(planted.atoms_fd, arguments.l0, sample, cache.mean, cache.std)
    save_sae(files.sae, sae, {"hidden_dim": features, "input_dim": width}, log=[])
    with ActivationCache(files("cache", EVALUATION)) as cache:
        write_split(files.split, cache.image_ids, stratified_split(cache.labels, seed=SEED))
    classes = [
        ClassRecord(label, f"c{label}", f"parent{label // SIBLINGS}")
        for label in range(arguments.classes)
    ]
    files.classes.parent.mkdir(parents=True, exist_ok=True)
    write_classes(files.classes, ImageIndex([], tuple(classes)))


# ---------------------------------------------------------------- ours


def encode(files, split, threads):
    """The encoding pass over one split: (Timing, peak memory of this process in MB)."""
    sae = load_sae(files.sae)
    torch.set_num_threads(threads)
    with ActivationCache(files("cache", split)) as cache:
        _, timing = clock(
            encode_activations, cache, {"sae": sae.model}, {"sae": files("reductions", split)},
            sae_fingerprints={"sae": sae.fingerprint}, minimum_active=MINIMUM_ACTIVE,
            threads=threads,
        )  # fmt: skip
    return timing, peak_megabytes()


def encode_apart(*arguments):
    """`encode` in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(encode, arguments)


def pool_raw(files, split, threads):
    """Max- and mean-pool the activations themselves, without their Moran's I (Table 4)."""
    with ActivationCache(files("cache", QUARTER)) as training:
        mean, std = training.mean, training.std
    with ActivationCache(files("cache", split)) as cache:
        reduce_raw(cache, mean, std, files("raw", split), minimum_active=(), threads=threads)


def rank(files, split):
    """Rank the features of one split, also for its sibling groups if it is the evaluation's."""
    with SaeReductions(files("reductions", split)) as encoded:
        train, groups = np.ones(encoded.images, bool), []
        if split == EVALUATION:
            train = ~read_split(files.split, encoded.image_ids)
            groups = read_sibling_groups(files.classes)
        ranked = rank_features(encoded.codes, encoded.labels, train, groups)
    write_rankings(files("rankings", split), ranked)


def fit_raw(files):
    """The two probes on raw features that are fitted once per backbone."""
    with RawReductions(files("raw", EVALUATION)) as raw:
        test_mask = read_split(files.split, raw.image_ids)
        probe = fit_raw_probe(raw.features_max(), raw.labels, test_mask)
    write_probe(files("probe", EVALUATION), probe)
    with RawReductions(files("raw", TRAIN)) as raw:
        probe = fit_domain_probe(raw.features_max(), raw.labels)
    write_probe(files("probe", TRAIN), probe)


def score(metric, files, threads):
    """The result of a metric, from the files."""
    data = {"evaluation": EVALUATION, "cross_domain": {"domain": (TRAIN, TEST)}}
    backbone, _ = files.PLACE.split("/")
    spaces = {"spaces": {backbone: 11}, "evaluator": backbone}
    compute = EVALS.module(metric, "compute").compute
    with (
        opened(files.folder.rglob("*"), str(files.folder), files.PLACE, data, **spaces) as sources,
        sources.inputs("sae", metric) as inputs,
    ):
        return compute(inputs, SETTINGS[metric], Job(SEED, threads, "cpu"))


def evaluate(files, threads):
    """The whole evaluation: Timings by part, and the Scores by metric.

    The encoding pass of the evaluation split is left to `encode_apart`.
    """
    timings = {PASS: total(encode_apart(files, split, threads)[0] for split in (TRAIN, TEST))}

    def part(name, function, *argument_tuples):
        parts = [clock(function, *arguments) for arguments in argument_tuples]
        timings[name] = total(timing for _, timing in parts)
        return parts[0][0]

    part(RAW, pool_raw, *[(files, split, threads) for split in SPLITS])
    part(RANKINGS, rank, (files, EVALUATION), (files, TRAIN))
    part("raw probes", fit_raw, (files,))
    scores = {metric: part(metric, score, (metric, files, threads)) for metric in SETTINGS}
    return timings, scores


# ---------------------------------------------------------------- straightforward


class Sampled:
    """A straightforward way timed on a sample: results, and the Timing that all of it has."""

    def __init__(self, function, items, of, what=""):
        self.results, timing = clock(lambda: [function(item) for item in items])
        self.timing = timing.scaled(of / len(items))
        self.sample = f"{len(items)} of {of:,} {what}" if len(items) < of else "all"


def warm_up():
    """Compile and import what both ways need, so that no clock counts it (`encode_apart` too)."""
    import sklearn.linear_model  # noqa: F401

    labels = np.arange(8) % 2
    rank_features(np.eye(8, dtype=np.float16), labels, labels == labels)
    straightforward.esda_moran((2, 2))(np.arange(4.0))


def straightforward_passes(files):
    """(metric → Sampled dense pass, way → Sampled Moran's I map by map)."""
    sae = load_sae(files.sae).model
    with SaeReductions(files("reductions", EVALUATION)) as encoded:
        evaluable = int(encoded.moran_images[0].sum())
    with ActivationCache(files("cache", EVALUATION)) as cache:
        images = {metric: cache.images for metric in SETTINGS}
        images |= {"cross_domain": 2 * DOMAIN_IMAGES, RAW: cache.images + 2 * DOMAIN_IMAGES}
        activations, grid = cache.read_chunk(0)[:PASS_IMAGES], cache.info.grid
    batches = np.split(activations, len(activations) // straightforward.BATCH_IMAGES)
    passes = {
        metric: Sampled(run, batches, images[metric] // straightforward.BATCH_IMAGES, "batches")
        for metric, run in straightforward.passes(sae).items()
    }
    features = np.arange(0, sae.features, sae.features // FEATURES)
    x_npd = sae.normalise(torch.from_numpy(activations))
    maps = straightforward.evaluable_maps(x_npd, sae, features, MINIMUM_ACTIVE[0])[:MAPS]
    by_esda, by_formula = straightforward.esda_moran(grid), straightforward.numpy_moran(grid)
    moran = {
        "esda": Sampled(by_esda, maps, evaluable, "maps"),
        "numpy": Sampled(by_formula, maps, evaluable, "maps"),
    }
    assert np.allclose(moran["esda"].results, moran["numpy"].results)
    return passes, moran


def straightforward_scores(files):
    """Part → Sampled: what follows the passes, from the same max-pooled arrays as ours."""
    with SaeReductions(files("reductions", EVALUATION)) as encoded:
        codes_fn, labels, recon = encoded.codes[:], encoded.labels, encoded.reconstructions_max()
        live = np.flatnonzero(encoded.largest.live)
        train = ~read_split(files.split, encoded.image_ids)
    with RawReductions(files("raw", EVALUATION)) as raw:
        features_max, embeddings = raw.features_max(), raw.embeddings()
    x, classes = codes_fn.T.astype(np.float64), int(labels.max()) + 1
    chosen = np.arange(0, classes, classes // CLASSES)
    overall = straightforward.ranking(x[train], labels[train])

    def preservation_probe(rows):
        return straightforward.accuracy(rows, labels, train, 1000)

    def own_ranking(label):
        return straightforward.ranking(x[train], labels[train] == label)

    found = {
        "raw probes": Sampled(preservation_probe, [features_max], 1),
        "preservation": Sampled(preservation_probe, [recon], 1),
        RANKINGS: Sampled(own_ranking, chosen, classes, "classes"),
    }
    orders = dict(zip(chosen, found[RANKINGS].results, strict=True))

    def areas(label):
        return straightforward.class_areas(x, labels, train, label, orders[label], BUDGETS)

    def accuracy(k):
        return straightforward.accuracy(x[:, overall[:k]], labels, train, 500)

    def feature_similarity(feature):
        return straightforward.monosemanticity(codes_fn[feature], embeddings)

    def random_similarity(seed):
        return straightforward.random_similarity(embeddings, seed)

    def sibling_f1(label):
        siblings = np.arange(label // SIBLINGS * SIBLINGS, label // SIBLINGS * SIBLINGS + SIBLINGS)
        return straightforward.sibling_f1(x, labels, train, label, siblings)

    settings = SETTINGS["monosemanticity"]
    selected = min(live.size, settings["features"])
    return found | {
        ONE_VS_REST: Sampled(areas, chosen, classes, "classes"),
        MULTINOMIAL: Sampled(accuracy, BUDGETS, len(BUDGETS)),
        "monosemanticity, features": Sampled(
            feature_similarity, live[:FEATURES], selected, "features"
        ),
        "monosemanticity, baseline": Sampled(
            random_similarity, range(FEATURES), settings["baseline_groups"], "groups"
        ),
        "cross_domain": Sampled(lambda _: straightforward_domain(files), [None], 1),
        "absorption": Sampled(sibling_f1, chosen, classes, "tasks"),
    }


def straightforward_domain(files):
    """M6 after its pass: probes of reconstructions and codes, and one probe per class."""
    with (
        SaeReductions(files("reductions", TRAIN)) as fitted,
        SaeReductions(files("reductions", TEST)) as scored,
    ):
        x = np.hstack([fitted.codes[:], scored.codes[:]]).T.astype(np.float64)
        recon = np.vstack([fitted.reconstructions_max(), scored.reconstructions_max()])
        labels = np.concatenate([fitted.labels, scored.labels])
        train = np.arange(len(labels)) < fitted.images
    straightforward.accuracy(recon, labels, train, 500)
    best = straightforward.ranking(x[train], labels[train])[:BUDGET]
    straightforward.accuracy(x[:, best], labels, train, 500)
    for label in range(DOMAIN_CLASSES):
        order = straightforward.ranking(x[train], labels[train] == label)
        straightforward.class_areas(x, labels, train, label, order, [BUDGET])


# ---------------------------------------------------------------- kernels


def kernels(files, threads, slow):
    """Rows of the table of kernels: name, ours, straightforward Sampled, agreement."""
    with SaeReductions(files("reductions", EVALUATION)) as encoded:
        codes_fn, labels = encoded.codes[:], encoded.labels
        test_mask = read_split(files.split, encoded.image_ids)
    groups, budgets = read_sibling_groups(files.classes), list(BUDGETS)
    rankings, ranked = clock(rank_features, codes_fn, labels, ~test_mask, groups)
    chosen = np.arange(0, len(rankings.classes), len(rankings.classes) // CLASSES)
    same = [
        np.isin(order[:128], own[:128]).mean()
        for order, own in zip(slow[RANKINGS].results, rankings.per_class[chosen], strict=True)
    ]
    gathered = gather_ranked(codes_fn, rankings.per_class, rankings.overall)

    parts = [gathered.of_images(mask) for mask in (~test_mask, test_mask)]
    images = labels[~test_mask], labels[test_mask]

    def one_vs_rest():
        rows = eligible_rows(rankings, images[1])
        with Workers(threads) as workers:
            return class_areas(*parts, rankings, rows, *images, budgets, "cpu", workers)

    areas, probed = clock(one_vs_rest)
    best = [part.rows(rankings.overall) for part in parts]
    curve, curved = clock(accuracy_curve, *best, *images, budgets)
    auc = np.array(slow[ONE_VS_REST].results)[:, 0]
    accuracy = np.array(slow[MULTINOMIAL].results)
    random = np.random.default_rng(0)
    scores = random.normal(size=(len(rankings.classes), len(budgets), test_mask.sum()))
    positive = labels[test_mask] == rankings.classes[:, None]
    by_ours, fast = clock(
        lambda: [[roc_auc(rows, y), average_precision(rows, y)]
                 for rows, y in zip(scores, positive, strict=True)]
    )  # fmt: skip
    by_sklearn = Sampled(
        lambda c: straightforward.areas(scores[c], positive[c]), chosen, len(scores), "classes"
    )
    apart = np.abs(np.array(by_ours)[chosen] - by_sklearn.results).max()
    return [
        ("F-statistics and rankings, codes in memory", ranked, slow[RANKINGS],
         f"{100 * np.mean(same):.2f} % of the first 128 features are the same"),
        (f"one-vs-rest probes ({areas.auc.size} fits) and areas", probed, slow[ONE_VS_REST],
         f"AUC of a class within {np.abs(auc - areas.auc[chosen]).max():.1e}; "
         f"{areas.not_converged} fits not converged"),
        (f"areas alone ({2 * areas.auc.size})", fast, by_sklearn, f"within {apart:.0e}"),
        (f"multinomial probes ({len(budgets)} fits)", curved, slow[MULTINOMIAL],
         f"accuracy within {np.abs(accuracy - curve.accuracy).max():.4f}; "
         f"{curve.not_converged} fits not converged"),
    ]  # fmt: skip


# ---------------------------------------------------------------- report


def floor_times(files, threads):
    """Timings of what the encoding pass cannot avoid: its product, and reading the cache."""
    sae = load_sae(files.sae).model
    with ActivationCache(files("cache", EVALUATION)) as cache:
        images = cache.images // 4
        _, product = clock(floor_product(sae, cache.info.patches, images, threads))
        _, reading = clock(read_everything, cache)
        return product.scaled(cache.images / images), reading


def shown(timing):
    """Wall (CPU) seconds."""
    return f"{timing.seconds:.2f} ({timing.cpu_seconds:.2f})"


def ratio(slow, fast):
    """How many times as long, by the wall clock (by CPU time)."""
    return f"{slow.seconds / fast.seconds:.1f} ({slow.cpu_seconds / fast.cpu_seconds:.1f})"


def print_evaluation(ours, slow_passes, moran, slow):
    """The table of the parts of the whole evaluation."""
    none = Timing(0, 0)
    pairs = {
        "encoding pass": (ours[PASS], [slow_passes[metric] for metric in SETTINGS]),
        "Moran's I (ours in the pass)": (none, [moran["esda"]]),
        RAW: (ours[RAW], [slow_passes[RAW]]),
        RANKINGS: (ours[RANKINGS], [slow[RANKINGS]]),
        "raw probes": (ours["raw probes"], [slow["raw probes"]]),
    }
    pairs |= {metric: (ours[metric], parts_of(metric, slow)) for metric in SETTINGS}
    whole = total(fast for fast, _ in pairs.values())
    print("| part | ours | straightforward | ratio | share of ours | straightforward timed on |")
    print("|---|--:|--:|--:|--:|---|")
    slow_whole = none
    for name, (fast, parts) in pairs.items():
        timing = total([none, *(part.timing for part in parts)])
        slow_whole = total([slow_whole, timing])
        sampled = "; ".join(dict.fromkeys(part.sample for part in parts)) or "–"
        measured = ratio(timing, fast) if fast.seconds and parts else "–"
        share = f"{100 * fast.seconds / whole.seconds:.1f} %"
        print(f"| {name} | {shown(fast)} | {shown(timing)} | {measured} | {share} | {sampled} |")
    print(
        f"| **together** | {shown(whole)} | {shown(slow_whole)} | **{ratio(slow_whole, whole)}** "
        "| 100 % | |"
    )
    by_numpy = total([slow_whole, moran["esda"].timing.scaled(-1), moran["numpy"].timing])
    print(
        f"\nWith Moran's I map by map in numpy instead of esda: {shown(by_numpy)} s, "
        f"{ratio(by_numpy, whole)} times ours."
    )


def parts_of(metric, slow):
    """The straightforward parts of a metric after its pass."""
    if metric == "sparse_probing":
        return [slow[ONE_VS_REST], slow[MULTINOMIAL]]
    return [part for name, part in slow.items() if name.startswith(metric)]


def main():
    warnings.simplefilter("ignore")  # scikit-learn's, of fits that have not converged
    arguments = parsed_arguments()
    threads = arguments.threads
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        files = Files(Path(folder))
        write_inputs(files, arguments)
        encode_apart(files, TEST, threads)
        warm_up()
        _, peak_of_quarter = encode_apart(files, QUARTER, threads)
        product, reading = floor_times(files, threads)
        own_pass, peak = encode_apart(files, EVALUATION, threads)
        ours, scores = evaluate(files, threads)
        ours[PASS] = total([own_pass, ours[PASS]])
        slow_passes, moran = straightforward_passes(files)
        slow = straightforward_scores(files)
        rows = kernels(files, threads, slow)
        with SaeReductions(files("reductions", EVALUATION)) as encoded:
            l0, density = encoded.l0_sum / encoded.tokens, (encoded.codes[:] > 0).mean()
    patches = arguments.side**2
    gigabytes = 2 * arguments.images * patches * arguments.width / 1e9
    print(
        f"## Evaluation of one SAE: N {arguments.images}, P {patches}, D {arguments.width}, "
        f"F {arguments.features}, C {arguments.classes}, L0 {l0:.0f}, {100 * density:.0f} % of the "
        f"max-pooled codes active; {threads} threads, seconds by the wall clock (CPU)\n"
    )
    print_evaluation(ours, slow_passes, moran, slow)
    print(
        f"\nEncoding pass of the {arguments.images} images: {shown(own_pass)} s. The encoder "
        f"product alone: {shown(product)} s, so the pass takes {ratio(own_pass, product)} times as "
        f"long. Reading and checking the {gigabytes:.2f} GB of the cache: {shown(reading)} s. Peak "
        f"memory of its process, libraries and weights included: {peak_of_quarter:.0f} MB for "
        f"{arguments.images // 4} images, {peak:.0f} MB for {arguments.images}.\n"
    )
    known = {name: score.value for name, score in scores.items() if score.value is not None}
    values = ", ".join(f"{name} {value:.3f}" for name, value in known.items())
    print(f"What was scored: {values}.\n")
    print("| kernel alone | ours | straightforward | ratio | agreement |\n|---|--:|--:|--:|---|")
    for name, fast, sampled, agreement in rows:
        slow_timing = sampled.timing
        print(
            f"| {name} | {shown(fast)} | {shown(slow_timing)} | {ratio(slow_timing, fast)} "
            f"| {agreement} |"
        )


if __name__ == "__main__":
    main()
