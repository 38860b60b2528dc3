"""Fine or coarse, the same work is cut into jobs."""

import itertools
import json

from study_fixtures import demo_config, paper_config

from visae.study import jobs, roles
from visae.study.study import Study


def test_coarse_and_fine_cut_the_same_work():
    fine, coarse = paper_config(), paper_config()
    coarse["granularity"] = "coarse"
    fine, coarse = Study(fine), Study(coarse)
    pairs = [
        (jobs.extraction(fine), jobs.extraction(coarse)),
        (jobs.encoding(fine), jobs.encoding(coarse)),
        (jobs.probing(fine), jobs.probing(coarse)),
        (jobs.ranking(fine, roles.main(fine)), jobs.ranking(coarse, roles.main(coarse))),
        tuple(jobs.evaluation(s, roles.main(s).metrics, "metrics") for s in (fine, coarse)),
    ]
    for of_fine, of_coarse in pairs:
        items = [[item for _, part in batches for item in part] for batches in (of_fine, of_coarse)]
        assert items[0] == items[1]
        assert len(of_coarse) == 1


def test_jobs_are_cut_by_data_set_and_by_shard():
    config = paper_config()
    config["datasets"]["cub"]["splits"]["train"]["shards"] = 2
    study = Study(config)
    names = {name: [split.split for split in part] for name, part in jobs.extraction(study)}
    assert names["imagenet_train"] == ["train"]
    assert names["cub_train"] == ["train"]
    assert names["cub_test"] == ["test"]
    assert names["dtd"] == ["trainval1", "test1"]
    assert "cub" not in names
    names = [name for name, _ in jobs.encoding(study, roles.main(study))]
    assert names == ["imagenet_val", "inaturalist", "cub", "dtd"]
    assert [name for name, _ in jobs.encoding(study, roles.control(study))] == ["imagenet_val"]
    rankings = jobs.ranking(study, roles.main(study))
    assert rankings == [("imagenet", ["imagenet"]), ("cross_domain", ["inaturalist", "cub", "dtd"])]
    assert jobs.ranking(study, roles.control(study)) == [("imagenet", ["imagenet"])]


def test_splits_without_a_cache_are_streamed_and_no_others():
    config = paper_config()
    config["datasets"]["cub"]["cache"] = False
    for granularity, streamed, cached in (
        ("fine", ["cub"], ["imagenet_val", "inaturalist", "dtd"]),
        ("coarse", ["all"], ["all"]),
    ):
        study = Study(config | {"granularity": granularity})
        of_streams, of_caches = jobs.streaming(study), jobs.encoding(study)
        assert [name for name, _ in of_streams] == streamed
        assert [name for name, _ in of_caches] == cached
        assert {split.dataset for _, part in of_streams for split in part} == {"cub"}
        assert not any(split.dataset == "cub" for _, part in of_caches for split in part)
        assert jobs.streaming(study, roles.control(study)) == []


def test_audits_are_one_job_per_backbone_or_one_in_all():
    main = ["dinov2", "clip", "siglip", "mae", "deit"]
    assert jobs.auditing(Study(paper_config())) == [(name, [name]) for name in main]
    config = paper_config() | {"granularity": "coarse"}
    assert jobs.auditing(Study(config)) == [("all", main)]


def test_pages_are_one_job_per_backbone_or_one_in_all():
    main, name = ["dinov2", "clip", "siglip", "mae", "deit"], "batchtopk_16x_k192"
    config = paper_config()
    found = [(of, [sae.name for sae in saes]) for of, saes in jobs.paging(Study(config))]
    assert found == [(backbone, [name]) for backbone in main]
    config["features"] = {"saes": ["clip/layer3/batchtopk_8x_k64", f"clip/layer11/{name}"]}
    ((backbone, saes),) = jobs.paging(Study(config))
    assert backbone == "clip"
    assert [f"{sae.place}/{sae.name}" for sae in saes] == config["features"]["saes"]
    coarse = paper_config() | {"granularity": "coarse"}
    ((_, saes),) = jobs.paging(Study(coarse))
    assert [sae.backbone for sae in saes] == main
    assert jobs.paging(Study(coarse | {"features": None})) == []


def test_matches_are_one_job_per_two_backbones_or_one_in_all():
    name = "batchtopk_16x_k192"
    fine = jobs.matching(Study(paper_config()))
    main = ["dinov2", "clip", "siglip", "mae", "deit"]
    two = [f"{a}_and_{b}" for a, b in itertools.combinations(main, 2)]
    assert [batch for batch, _ in fine] == [*two, "dinov2_and_dinov2"]
    assert all(len(pairs) == 1 for _, pairs in fine)
    assert {sae.name for _, [pair] in fine[:-1] for sae in pair} == {name}
    # The other SAE of the first backbone differs in K alone.
    ((_, [(sae, other)]),) = fine[-1:]
    assert (sae.place, sae.name, other.place) == (other.place, name, sae.place)
    assert other.spec.expansion_factor == 16
    ((batch, pairs),) = jobs.matching(Study(paper_config() | {"granularity": "coarse"}))
    assert (batch, len(pairs)) == ("all", 11)


def test_matched_saes_are_those_with_pages_or_those_that_are_named():
    config = paper_config()
    names = ["clip/layer3/batchtopk_8x_k64", "clip/layer11/batchtopk_16x_k192"]
    names.append("mae/layer11/batchtopk_16x_k64")
    config["features"] = {"saes": names}
    found = [[sae.full_name for sae in pair] for pair in roles.matched(Study(config))]
    assert found[0] == [names[0], names[2]]  # the first of each backbone
    assert len(found) == 2
    without_pages = roles.matched(Study(config | {"features": None}))
    assert [sae.full_name for sae in without_pages[0]] == [
        f"{backbone}/layer11/batchtopk_16x_k192" for backbone in ("dinov2", "clip")
    ]
    pairs = [names[:2], names[1:]]
    named = roles.matched(Study(config | {"matches": {"pairs": pairs}}))
    assert [[sae.full_name for sae in pair] for pair in named] == pairs
    assert roles.matched(Study(config | {"matches": None})) == []


def test_one_sae_of_one_backbone_is_matched_with_nothing():
    config = demo_config()
    one = {"family": "batchtopk", "backbones": ["clip_small"]}
    config["sweeps"] = {"main": one | {"grid": {"expansion_factor": [4], "k": [8]}}}
    assert roles.matched(Study(config)) == []
    config["sweeps"]["main"]["grid"]["k"] = [8, 24]
    ((left, right),) = roles.matched(Study(config))
    assert {left.name, right.name} == {"batchtopk_4x_k8", "batchtopk_4x_k24"}


def test_sweep_with_few_metrics_needs_the_evaluation_split_only():
    study = Study(paper_config())
    assert roles.control(study).metrics == ("localization", "fvu")
    assert jobs.encoding(study, roles.control(study)) == [("imagenet_val", [study.evaluation])]


def test_training_jobs_of_a_sweep_cover_it():
    config = paper_config()
    config["sweeps"]["main"]["batches"] = 5
    groups = jobs.trained_together(Study(config))
    parts = jobs.training(groups[0], groups)
    names = [spec.name for _, part in parts for spec in part]
    assert names == roles.main(Study(paper_config())).sae_names()
    assert len({job for job, _ in parts}) == len(parts) > 1


def test_what_a_job_makes_besides_what_is_wanted():
    """Coarse granularity makes all splits in one job; fine, one data set or one split of shards."""
    fine, coarse = paper_config(), paper_config()
    coarse["granularity"] = "coarse"
    fine, coarse = Study(fine), Study(coarse)
    wanted = [fine.evaluation]
    assert jobs.extracted_with(fine, wanted, "full") == jobs.reduced_with(fine, wanted) == wanted
    assert jobs.extracted_with(coarse, wanted, "full") == coarse.splits()
    assert jobs.reduced_with(coarse, wanted) == coarse.encoded_splits()
    [(_, together)] = jobs.extraction(coarse)
    assert not jobs.shards_apart(coarse, together)
    apart = {name: jobs.shards_apart(fine, splits) for name, splits in jobs.extraction(fine)}
    assert apart["imagenet_train"]
    assert not apart["dtd"]


def test_sweeps_on_the_same_activations_are_one_group_in_coarse_granularity():
    config = demo_config()
    names = [group.name for group in jobs.trained_together(Study(config))]
    assert names == ["main_and_jumprelu", "layer_1", "token_order"]
    [group, *_] = jobs.trained_together(Study(config))
    assert set(group.origins.values()) == {"main", "jumprelu"}
    assert group.sae_names() == list(group.origins)
    names = [group.name for group in jobs.trained_together(Study(config | {"granularity": "fine"}))]
    assert names == list(config["sweeps"])


def test_joined_names_of_many_sweeps_fit_in_file_names():
    config = demo_config()
    config["granularity"] = "coarse"
    main = config["sweeps"]["main"]
    names = []
    for last in ("a", "b"):
        for number in range(30):
            config["sweeps"][f"a_sweep_of_some_length_{number}"] = main | {
                "grid": {"expansion_factor": [2], "k": [number + 3]}
            }
        config["sweeps"][f"the_last_{last}"] = main | {"grid": {"expansion_factor": [2], "k": [99]}}
        names.append([sweep.name for sweep in jobs.trained_together(Study(config))])
        del config["sweeps"][f"the_last_{last}"]
    assert max(len(name) for found in names for name in found) <= 150
    assert len(set(names[0])) == len(names[0])
    assert set(names[0]) != set(names[1])  # other sweeps are other jobs


def test_sweeps_of_a_block_share_a_pass_where_activations_are_computed():
    full, lean = (Study(paper_config() | {"storage": name}) for name in ("full", "lean"))
    assert [sweep.name for sweep in jobs.trained_together(full)] == list(full.sweeps)
    assert [sweep.name for sweep in jobs.trained_together(lean)] == [
        *("main_and_jumprelu", "layer_3", "token_order")
    ]
    training = ("imagenet_train", [full.training])
    assert jobs.extraction(full)[0] == jobs.extraction(lean)[0] == training
    assert jobs.extracted_alike(full, [full.training]) == [
        *((["full"], [full.training]), (["lean"], [full.training]))
    ]
    assert jobs.extracted_alike(lean, [lean.training]) == [(["lean"], [lean.training])]
    assert jobs.extracted_alike(full, [full.evaluation]) == [(["full", "lean"], [full.evaluation])]
    of_birds = list(full.cross_domain["cub"])
    assert jobs.extracted_alike(full, of_birds) == [(["full"], of_birds)]
    assert jobs.extracted_alike(lean, of_birds) == []
    # Nothing is computed to train on where the data set is cached in any case.
    config = paper_config() | {"storage": "lean"}
    config["datasets"]["imagenet"]["cache"] = True
    cached = Study(config)
    assert [sweep.name for sweep in jobs.trained_together(cached)] == list(cached.sweeps)
    assert [sweep.name for sweep in jobs.encoded_together(cached, cached=False)] == [
        *("main_and_jumprelu", "layer_3", "token_order")
    ]
    # Jobs are as fine as before otherwise.
    assert jobs.evaluation(lean, ["fvu", "localization"], "metrics") == [
        *(("fvu", ("fvu",)), ("localization", ("localization",)))
    ]


def renamed(config, names):
    """A copy of a config in which some data sets are called otherwise."""
    text = json.dumps(config)
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    return json.loads(text)


def test_jobs_of_data_sets_that_are_called_as_splits_or_storages_have_names_of_their_own():
    """`x_train` and `x_lean` may be data sets, beside `x` with jobs of these names."""
    config = demo_config() | {"granularity": "fine"}
    of_splits = {"textures": "photographs_train", "digits": "photographs_val"}
    study = Study(renamed(config, of_splits))
    for batches in (jobs.extraction(study), jobs.encoding(study)):
        assert len({name for name, _ in batches}) == len(batches)
        of_datasets = {name: {split.dataset for split in part} for name, part in batches}
        assert of_datasets["photographs_val"] == {"photographs_val"}
        assert of_datasets["photographs_val_2"] == {"photographs"}
    batches = {
        "full": [("x", ["x/a", "x/b", "x/c"]), ("x_lean", ["x_lean/a", "x_lean/b"])],
        "lean": [("x", ["x/b", "x/c"]), ("y", ["y/a"])],
    }
    config["sweeps"]["layer_1"]["storage"] = "lean"
    assert jobs.by_storage(Study(config), batches.__getitem__) == [
        ("x", ["x/a", "x/b", "x/c"], ["full"]),
        ("x_lean", ["x_lean/a", "x_lean/b"], ["full"]),
        ("x_lean_2", ["x/b", "x/c"], ["lean"]),
        ("y", ["y/a"], ["lean"]),
    ]
