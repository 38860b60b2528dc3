# Train cache → SAEs: one pass over the cache trains all SAEs of a (sweep, backbone). SAEs that
# were trained elsewhere are imported into the same format.

from visae.sae.exchange import inspected, on_hub
from visae.study import own_saes


def sae_files(names):
    """All files of the SAEs called `names`."""
    return [PATHS.sae(name, file) for name in names for file in SAE_FILES]


def published_source(sweep):
    """Where a backbone's published SAEs come from: a folder, or a repository on the hub."""
    return lambda wildcards: sweep.published[wildcards.backbone]


def published_files(sweep):
    """A backbone's published SAEs, as inputs: the folder around them, or the files of each."""

    def files(wildcards):
        if sweep.folders:
            return own_saes.files(sweep.folders[wildcards.backbone].values())
        source = sweep.published[wildcards.backbone]
        if on_hub(source):
            return PATHS.published(sweep.name, wildcards.backbone)
        if not os.path.isdir(source):
            raise Refusal(
                f"config: sweeps.{sweep.name}.published.{wildcards.backbone} is {source!r}, which is "
                "not a folder; put the SAEs there, one subfolder each (see docs/published_saes.md), or "
                "change the path"
            )
        return source

    return files


def folders_of(sweep):
    """SAE → the folder in which its library wrote it."""

    def folders(wildcards):
        if sweep.folders:
            return sweep.folders[wildcards.backbone]
        source = sweep.published[wildcards.backbone]
        if on_hub(source):
            source = STUDY.paths.published(sweep.name, wildcards.backbone)
        return {spec.name: f"{source}/{spec.configuration}" for spec in sweep.saes}

    return folders


def library_code(sweep):
    """Hash of the libraries that wrote a backbone's published SAEs, of all until they are read."""

    def of(wildcards):
        at = f"{wildcards.backbone}-layer{wildcards.layer}"
        return inspected.libraries_code(STUDY.paths.inspected(sweep.name, at))

    return of


def to_compute_activations(cached):
    """The inputs and the params of a training job that computes its activations, beyond its caches."""
    if cached:
        return {}, {}
    inputs = {
        "indices": index_paths([STUDY.training]),
        "classes": class_paths([STUDY.training]),
        "weights": local_weights,
    }
    params = {
        "backbone": backbone_settings,
        "root": settings("datasets", STUDY.training.dataset, "root"),
        "order_seed": STUDY.seed,
        "extraction": settings("extraction"),
        "loader_code": loader_code,
    }
    return inputs, params


TRAINED = jobs.trained_together(STUDY)

for sweep in TRAINED:
    cached = STUDY.training.cached_in(sweep.storage)
    computing_inputs, computing_params = to_compute_activations(cached)

    for job, specs in jobs.training(sweep, TRAINED):

        rule:
            name:
                f"train_{job}"
            input:
                **computing_inputs,
                cache=cache_path(STUDY.training),
                held_out=cache_path(STUDY.held_out),
                statistics=cache_path(STUDY.statistics),
            output:
                saes=sae_files([spec.name for spec in specs]),
            log:
                f"<logs>/train/{job}-{{backbone}}-layer{{layer}}.log",
            benchmark:
                f"<benchmarks>/train/{job}-{{backbone}}-layer{{layer}}.tsv"
            wildcard_constraints:
                **at_places(sweep.layers),
            conda:
                "../envs/torch.yaml"
            threads: 4 if cached else EXTRACTION_THREADS
            resources:
                gpu=1,
                mem_mb=memory(8000 if cached else 16000, saes=specs),
                runtime=minutes(60 if cached else 480, saes=specs),
            params:
                **computing_params,
                saes=[spec.text for spec in specs],
                training=STUDY.training_settings(sweep),
                statistics=STUDY.statistics.name,
                # Outside `output`, because Snakemake deletes the outputs of a failed job.
                resume=STUDY.paths.resume(job),
                code=code("train_saes"),
                family_code=family_code(specs),
            message:
                f"Training the SAEs of {job} on {{wildcards.backbone}}, block {{wildcards.layer}}"
            script:
                "../workflow_scripts/train_saes.py"

    on_the_hub = [b for b, source in sweep.published.items() if on_hub(source)]
    if on_the_hub:

        rule:
            name:
                f"fetch_{sweep.name}"
            output:
                folder=directory(PATHS.published(sweep.name)),
            log:
                f"<logs>/fetch/{sweep.name}-{{backbone}}.log",
            benchmark:
                f"<benchmarks>/fetch/{sweep.name}-{{backbone}}.tsv"
            wildcard_constraints:
                backbone=alternatives(on_the_hub),
            localrule: True
            conda:
                "../envs/torch.yaml"
            threads: 1
            resources:
                mem_mb=memory(2000),
                runtime=minutes(120),
            params:
                source=published_source(sweep),
                saes=[spec.configuration for spec in sweep.saes],
                code=code("fetch_saes"),
            message:
                f"Fetching the published SAEs of {sweep.name} on {{wildcards.backbone}}"
            script:
                "../workflow_scripts/fetch_saes.py"

    if sweep.imported:

        # Files that cannot be read are told before activations are extracted for them.
        rule:
            name:
                f"inspect_{sweep.name}"
            input:
                published=published_files(sweep),
            output:
                inspected=PATHS.inspected(sweep.name),
            log:
                f"<logs>/inspect/{sweep.name}-{{backbone}}-layer{{layer}}.log",
            benchmark:
                f"<benchmarks>/inspect/{sweep.name}-{{backbone}}-layer{{layer}}.tsv"
            wildcard_constraints:
                backbone=alternatives(sweep.backbones),
                layer=alternatives(set(sweep.layers.values())),
            priority: 100
            localrule: True
            conda:
                "../envs/torch.yaml"
            threads: 1
            resources:
                mem_mb=memory(4000),
                runtime=minutes(20),
            params:
                saes=[spec.text for spec in sweep.saes],
                folders=folders_of(sweep),
                reading=settings("sweeps", sweep.name).get("reading", {}),
                libraries=library_code(sweep),
                code=code("inspect_saes"),
            message:
                f"Reading the published SAEs of {sweep.name} on {{wildcards.backbone}}"
            script:
                "../workflow_scripts/inspect_saes.py"

        rule:
            name:
                f"import_{sweep.name}"
            input:
                published=published_files(sweep),
                inspected=PATHS.inspected(sweep.name),
                cache=cache_path(STUDY.training),
                held_out=cache_path(STUDY.held_out),
                statistics=cache_path(STUDY.statistics),
            output:
                saes=sae_files(sweep.sae_names()),
            log:
                f"<logs>/import/{sweep.name}-{{backbone}}-layer{{layer}}.log",
            benchmark:
                f"<benchmarks>/import/{sweep.name}-{{backbone}}-layer{{layer}}.tsv"
            wildcard_constraints:
                **at_places(sweep.layers),
            conda:
                "../envs/torch.yaml"
            threads: 4
            resources:
                mem_mb=memory(16000),
                runtime=minutes(60),
            params:
                saes=[spec.text for spec in sweep.saes],
                folders=folders_of(sweep),
                training=STUDY.training_settings(sweep),
                statistics=STUDY.statistics.name,
                reading=settings("sweeps", sweep.name).get("reading", {}),
                code=code("import_saes"),
                family_code=family_code(sweep.saes),
            message:
                f"Importing the published SAEs of {sweep.name} on {{wildcards.backbone}}"
            script:
                "../workflow_scripts/import_saes.py"
