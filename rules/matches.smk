# Reductions and caches → features of two SAEs that match, and a page of them for each pair.


def match_paths(pairs, *files):
    """Files of the pages of pairs of SAEs, pair by pair."""
    return [
        PATHS.matches(*(sae.full_name for sae in pair), file) for pair in pairs for file in files
    ]


def page_of(sae):
    """The page of an SAE's features, where it has one."""
    has_one = sae in roles.on_pages(STUDY)
    return STUDY.paths.features(sae.name, "index.html", sae.place) if has_one else None


def about_side(sae):
    """What a page says of one of its SAEs."""
    return {
        "place": sae.place,
        "sae": sae.name,
        "backbone": sae.backbone,
        "layer": sae.layer,
        "label": STUDY.backbones[sae.backbone]["label"],
        "seed": STUDY.backbones[sae.backbone]["seed"],
        "page": page_of(sae),
    }


MATCHED = roles.matched(STUDY)
MATCH_PAGES = match_paths(MATCHED, "index.html")

for batch, pairs in jobs.matching(STUDY):
    # Each SAE once: in coarse granularity it is in several pairs.
    saes = list(dict.fromkeys(sae for pair in pairs for sae in pair))

    rule:
        name:
            f"match_features_{batch}"
        input:
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
        output:
            pages=match_paths(pairs, *MATCH_FILES),
            images=[directory(folder) for folder in match_paths(pairs, "images")],
        log:
            f"<logs>/match_features/{batch}.log",
        benchmark:
            f"<benchmarks>/match_features/{batch}.tsv"
        conda:
            "../envs/torch.yaml"
        threads: 4
        resources:
            mem_mb=memory(6000, codes=3),
            runtime=minutes(60, per_gigabyte=30),
        params:
            saes={sae.full_name: about_side(sae) for sae in saes},
            pairs=[[sae.full_name for sae in pair] for pair in pairs],
            split=STUDY.evaluation.name,
            root=settings("datasets", STUDY.evaluation.dataset, "root"),
            study=STUDY.name,
            seed=STUDY.seed,
            settings={key: value for key, value in settings("matches").items() if key != "pairs"},
            code=[code("match_features"), *page_look("base", "look", "sorted", "matches")],
        message:
            f"Matching features of {len(pairs)} pairs of SAEs ({batch})"
        script:
            "../workflow_scripts/match_features.py"
