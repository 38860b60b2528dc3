# Scores and caches → features of SAEs on the images that they respond to: two of one SAE per backbone
# for Figure 5, many on pages to look at.

from visae.audit.metrics import METRICS as FEATURE_METRICS

AUDITED = roles.audited(STUDY).name

for batch, backbones in jobs.auditing(STUDY):
    places = [place(b, roles.main(STUDY).layers[b]) for b in backbones]

    rule:
        name:
            f"audit_{batch}"
        input:
            scores=[PATHS.metric(AUDITED, "localization", place=own) for own in places],
            arrays=[PATHS.metric(AUDITED, "localization", "npz", own) for own in places],
            reductions=[PATHS.reductions(AUDITED, STUDY.evaluation.name, own) for own in places],
            caches=[PATHS.cache(STUDY.evaluation.name, own) for own in places],
            saes=[PATHS.sae(AUDITED, place=own) for own in places],
            index=PATHS.index(STUDY.evaluation.name),
            classes=PATHS.classes(STUDY.evaluation.dataset),
            images=image_folder(STUDY.evaluation.dataset),
        output:
            examples=[PATHS.examples(AUDITED, own) for own in places],
        log:
            f"<logs>/audit/{batch}.log",
        benchmark:
            f"<benchmarks>/audit/{batch}.tsv"
        conda:
            "../envs/torch.yaml"
        threads: 1
        resources:
            mem_mb=memory(4000),
            runtime=minutes(20),
        params:
            sae=AUDITED,
            split=STUDY.evaluation.name,
            places=places,
            root=settings("datasets", STUDY.evaluation.dataset, "root"),
            code=code("audit_features"),
        message:
            f"Looking up examples of features ({batch})"
        script:
            "../workflow_scripts/audit_features.py"


def query_images(wildcards):
    """The image files that are asked about on pages."""
    files = STUDY.config["features"]["query_images"]
    for path in files:
        if not os.path.isfile(path):
            raise Refusal(
                f"config: features.query_images names {path!r}, which is not there; correct the path"
            )
    return files


def query_backbones(saes):
    """Backbone → what builds it, where images outside of any cache are asked about."""
    if not STUDY.config["features"]["query_images"]:
        return {}
    names = dict.fromkeys(sae.backbone for sae in saes)
    return {name: STUDY.backbone_settings(name) | {"code": code_of_loader(name)} for name in names}


def page_paths(saes, *files):
    """Files of the pages of `saes`, SAE by SAE."""
    return [PATHS.features(sae.name, file, sae.place) for sae in saes for file in files]


FEATURE_PAGES = page_paths(roles.on_pages(STUDY), "index.html", "patches.html")

# What pages look like: no Python module, so that `code` does not see it.
PAGE_LOOK = Path(workflow.basedir) / "workflow_scripts" / "visae" / "audit"


def page_look(*names, package=PAGE_LOOK):
    """Hashes of the templates and assets of these names."""
    files = [*package.glob("templates/*.jinja"), *package.glob("assets/*.*")]
    return [
        fingerprints.of_file(file) for file in sorted(files) if file.name.split(".")[0] in names
    ]


for batch, saes in jobs.paging(STUDY):
    metrics = {
        (sae.place, sae.name): [m for m in FEATURE_METRICS if m in STUDY.sweeps[sae.sweep].metrics]
        for sae in saes
    }

    rule:
        name:
            f"show_features_{batch}"
        input:
            scores=[
                PATHS.metric(name, metric, suffix, own)
                for (own, name), known in metrics.items()
                for metric in known
                for suffix in ("json", "npz")
            ],
            reductions=[
                PATHS.reductions(sae.name, STUDY.evaluation.name, sae.place) for sae in saes
            ],
            caches=list(
                dict.fromkeys(PATHS.cache(STUDY.evaluation.name, sae.place) for sae in saes)
            ),
            saes=[PATHS.sae(sae.name, place=sae.place) for sae in saes],
            index=PATHS.index(STUDY.evaluation.name),
            classes=PATHS.classes(STUDY.evaluation.dataset),
            images=image_folder(STUDY.evaluation.dataset),
            queries=query_images,
            weights=[weights_file(name) for name in query_backbones(saes)],
        output:
            pages=page_paths(saes, *FEATURE_FILES),
            images=[directory(folder) for folder in page_paths(saes, "images")],
        log:
            f"<logs>/show_features/{batch}.log",
        benchmark:
            f"<benchmarks>/show_features/{batch}.tsv"
        conda:
            "../envs/torch.yaml"
        threads: 4
        resources:
            mem_mb=memory(6000),
            runtime=minutes(60),
        params:
            saes=[[sae.place, sae.name, known] for sae, known in zip(saes, metrics.values())],
            split=STUDY.evaluation.name,
            root=settings("datasets", STUDY.evaluation.dataset, "root"),
            study=STUDY.name,
            settings=settings("features"),
            seeds={sae.backbone: STUDY.backbones[sae.backbone]["seed"] for sae in saes},
            labels={sae.backbone: STUDY.backbones[sae.backbone]["label"] for sae in saes},
            backbones=query_backbones(saes),
            code=[
                code("show_features"),
                *page_look("base", "look", "sae", "sorted", "index", "features", "patches"),
            ],
        message:
            f"Showing what features respond to ({batch})"
        script:
            "../workflow_scripts/show_features.py"
