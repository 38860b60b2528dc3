# Activations → reductions: one pass over a split encodes it with all SAEs of a (sweep, backbone), and
# leaves behind all that any metric needs; another pools the raw activations. Splits of data sets
# with `cache: false` are read straight from their images, with no activations on disk.

from functools import partial

from visae.study.evals import of_moran


def moran_settings(splits):
    """Split → the settings of Moran's I, where it is computed."""
    return {split.name: of_moran(STUDY) for split in splits if split == STUDY.evaluation}


def activations_of(splits, cached):
    """The inputs and the params of a job that reads the activations of `splits`."""
    moran = {"moran": moran_settings(splits)}
    if cached:
        return {"caches": cache_paths(splits)}, moran | {"splits": [s.name for s in splits]}
    inputs = {
        "indices": index_paths(splits),
        "classes": class_paths(splits),
        "weights": local_weights,
    }
    extraction = {
        "backbone": backbone_settings,
        "splits": dict(map(split_and_root, splits)),
        "extraction": settings("extraction"),
        "loader_code": loader_code,
    }
    return inputs, moran | extraction


# Whether splits are cached, and what their passes are.
KINDS_OF_PASSES = ((True, jobs.encoding), (False, jobs.streaming))


def raw_passes():
    """[(batch, splits, storages, cached), …]: jobs of one pass each, at blocks of these storages."""
    for cached, batches in KINDS_OF_PASSES:
        for batch in jobs.by_storage(STUDY, partial(batches, STUDY, None)):
            yield *batch, cached


def sae_passes():
    """[(sweep, batch, splits, cached), …]: the same of the SAEs of a sweep, or of a group of them."""
    for cached, batches in KINDS_OF_PASSES:
        for sweep in jobs.encoded_together(STUDY, cached):
            for batch in batches(STUDY, sweep):
                yield sweep, *batch, cached


for batch, splits, storages, cached in raw_passes():
    inputs, needed = activations_of(splits, cached)
    step = "reduce_raw" if cached else "stream_raw"

    rule:
        name:
            f"{step}_{batch}"
        input:
            **inputs,
            statistics=cache_path(STUDY.statistics),
        output:
            reductions=raw_paths(splits),
        log:
            f"<logs>/{step}/{{backbone}}-layer{{layer}}-{batch}.log",
        benchmark:
            f"<benchmarks>/{step}/{{backbone}}-layer{{layer}}-{batch}.tsv"
        wildcard_constraints:
            backbone=kept_as(storages) + ANY_BACKBONE,
        conda:
            "../envs/torch.yaml"
        threads: 4 if cached else 8
        resources:
            gpu=int(not cached),
            mem_mb=memory(8000 if cached else 16000),
            runtime=minutes(60 if cached else 480),
        params:
            **needed,
            code=code("reduce_raw"),
        message:
            f"Pooling the raw {batch} activations of {{wildcards.backbone}}"
        script:
            "../workflow_scripts/reduce_raw.py"


for sweep, batch, splits, cached in sae_passes():
    inputs, needed = activations_of(splits, cached)
    names = sweep.sae_names()
    step = "encode" if cached else "stream_saes"

    rule:
        name:
            rule_name(step, sweep.name, batch)
        input:
            **inputs,
            saes=sae_weights(names),
            statistics=cache_path(STUDY.statistics) if sweep.imported else [],
        output:
            reductions=reduction_paths(names, splits),
        log:
            f"<logs>/{step}/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.log",
        benchmark:
            f"<benchmarks>/{step}/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.tsv"
        wildcard_constraints:
            **at_places(sweep.layers),
        conda:
            "../envs/torch.yaml"
        threads: 4 if cached else 8
        resources:
            gpu=1,
            mem_mb=memory(8000 if cached else 16000, saes=sweep.saes),
            runtime=minutes(60 if cached else 480, saes=sweep.saes),
        params:
            **needed,
            code=code("encode_activations"),
        message:
            f"Encoding {batch} with the SAEs of {sweep.name} on {{wildcards.backbone}}"
        script:
            "../workflow_scripts/encode_activations.py"


for sweep in jobs.encoded_together(STUDY, cached=True):
    names = sweep.sae_names()

    for batch, datasets in jobs.ranking(STUDY, sweep):

        rule:
            name:
                rule_name("rank", sweep.name, batch)
            input:
                reductions=[
                    path
                    for dataset in datasets
                    for path in reduction_paths(names, [STUDY.probe_splits(dataset)[0]])
                ],
                split=PROBE_SPLIT if STUDY.evaluation.labelled else [],
                classes=[PATHS.classes(dataset) for dataset in datasets],
            output:
                rankings=ranking_paths(names, datasets),
            log:
                f"<logs>/rank/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.log",
            benchmark:
                f"<benchmarks>/rank/{sweep.name}-{batch}-{{backbone}}-layer{{layer}}.tsv"
            wildcard_constraints:
                **at_places(sweep.layers),
            conda:
                "../envs/analysis.yaml"
            threads: 1
            resources:
                mem_mb=memory(8000),
                runtime=minutes(60, per_gigabyte=0.5),
            params:
                saes=names,
                splits={dataset: STUDY.probe_splits(dataset)[0].name for dataset in datasets},
                evaluation=STUDY.evaluation.dataset,
                code=code("rank_features"),
            message:
                f"Ranking the features of {sweep.name} on {{wildcards.backbone}} ({batch})"
            script:
                "../workflow_scripts/rank_features.py"
