"""Names that people choose are joined to names of rules, logs and files: no two of them are one.

Names are drawn of the words that rules and folders join them with, so that clashes are likely.
"""

import re
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from study_fixtures import demo_config
from workflow_fixtures import copy_repository, snakemake

from visae.base.errors import UserError, refusal
from visae.study import evals, jobs
from visae.study.study import Study

WORDS = (
    *("a", "b", "and", "of", "1", "2", "3", "train", "val", "lean", "full", "blocks", "all"),
    *("raw", "cross", "domain", "cross_domain", "tasks", "metrics", "index", "classes", "layer3"),
)
ENDS = ("_1_of_2", "_2_of_2", "_2", "_lean", "_full", "_blocks_1_3", "_a", "_b", "_train", "_tasks")


def names_of(number, random):
    """Different names, of which some are what others are made to."""
    found = []
    while len(found) < number:
        name = "_".join(random.choices(WORDS, k=random.choice([1, 1, 1, 2, 4])))
        if found and random.random() < 0.3:
            name = random.choice(found) + random.choice(ENDS)
        elif len(found) > 1 and random.random() < 0.5:
            name = "_and_".join(random.sample(found, 2))
        if name[0].isalpha() and name not in found:
            found.append(name)
    return random.sample(found, number)


def drawn(seed):
    """A study of the demo's data sets and two of its backbones, with other names and blocks."""
    random, config = Random(seed), demo_config()
    photographs, digits, textures = names_of(3, random)
    train, val, others = names_of(3, random)
    shards = {name: {"shards": random.randint(1, 2)} for name in (train, val, others)}
    old = config["datasets"]
    made = {
        photographs: old["photographs"] | {"splits": shards},
        digits: old["digits"],
        textures: old["textures"],
    }
    config["datasets"] = dict(random.sample([*made.items()], 3))
    config["training"] |= {"dataset": photographs, "split": train, "threshold_split": others}
    config["evaluation"] = {"dataset": photographs, "split": val}
    config["metrics"]["cross_domain"] = {
        "headline": digits,
        "datasets": {
            digits: {"train": "train", "test": "test"},
            textures: {"train": "trainval1", "test": "test1"},
        },
    }
    one, other = names_of(2, random)
    config["backbones"] = {}
    for name, space, like in ((one, other, "dino_small"), (other, one, "deit_small")):
        entry = demo_config()["backbones"][like]
        del entry["pretraining"]
        config["backbones"][name] = entry | {"layer": random.randint(1, 3), "evaluator": space}
    storage, sweeps = random.choice(["full", "lean"]), names_of(random.randint(2, 4), random)
    config["sweeps"] = {}
    for number, name in enumerate(sweeps):
        entry = {
            "family": "batchtopk",
            "grid": {"expansion_factor": [2, 4], "k": [8]},
            "batches": random.randint(1, 2),
            "backbones": random.choice([[one], [one, other]]),
        }
        if random.random() < 0.5:
            entry |= {"layer": 0, "storage": storage}
        elif random.random() < 0.5:
            entry["layer"] = random.randint(1, 3)
        if number > 1 or random.random() < 0.3:
            entry["variant"] = name
        if random.random() < 0.5:
            entry["metrics"] = ["localization", "fvu", "cross_domain"]
        config["sweeps"][name] = entry
    config["downstream"] = {"sweeps": random.sample(sweeps, random.randint(0, 2))}
    config["granularity"] = random.choice(["fine", "coarse"])
    return config | {"interventions": None}


SEEDS = st.integers(0, 2**32 - 1)


def study_of(config):
    """The Study, unless its config is refused with a sentence."""
    assume(not refusal(Study, config))
    return Study(config)


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_jobs_of_a_study_have_names_of_their_own(seed):
    study = study_of(drawn(seed))
    for groups in (
        jobs.trained_together(study),
        jobs.encoded_together(study, cached=True),
        jobs.encoded_together(study, cached=False),
        jobs.scored_together(study),
    ):
        names = [group.name for group in groups]
        assert len({*names}) == len(names)
        # A sweep by itself has its own name, by which its section is looked up.
        alone = {g.name for g in groups if len({*g.origins.values()}) == 1}
        assert alone <= study.sweeps.keys()
        assert not ({*names} - alone) & study.sweeps.keys()
        for group in groups:
            parts = jobs.ranking(study, group)
            ranked = [dataset for _, part in parts for dataset in part]
            assert ranked == study.probe_datasets(group)
            batches = [parts, jobs.encoding(study, group), jobs.streaming(study, group)]
            assert all(len({name for name, _ in batch}) == len(batch) for batch in batches)
    groups = jobs.trained_together(study)
    trained = [name for group in groups for name, _ in jobs.training(group, groups)]
    assert len({*trained}) == len(trained)
    scored = [
        (job.work, backbone, layer)
        for job in evals.eval_jobs(study)
        for backbone in study.backbones
        for layer in ([job.layers.get(backbone)] if job.layers else [*range(4)])
        if layer is not None
    ]
    assert len({*scored}) == len(scored)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return copy_repository(tmp_path_factory.mktemp("names"))


def planned(folder, config):
    """The files that would be written, each as often as a job of the plan has it."""
    run = snakemake(folder, "--summary", config=config, check=False)
    assert run.returncode == 0, run.stdout
    return re.findall(r"^(results/\S+)\t", run.stdout, re.MULTILINE)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an example takes seconds
)
@given(seed=SEEDS)
def test_no_two_jobs_write_one_file(repository, seed):
    """Nor files whose names differ in capital letters alone. Rules have names of their own, too."""
    config = drawn(seed)
    study_of(config)
    files = [path.lower() for path in planned(repository, config)]
    assert len({*files}) == len(files) > 100


def chosen(**changes):
    return demo_config() | {"granularity": "fine", "interventions": None} | changes


MAIN = demo_config()["sweeps"]["main"]
ONE = {"family": "jumprelu", "grid": {"expansion_factor": [4], "target_l0": [8]}}
EARLY = MAIN | {"backbones": ["clip_small"], "layer": 3}
APART = demo_config()["backbones"] | {
    "clip_small": demo_config()["backbones"]["clip_small"] | {"layer": 2}
}


@pytest.mark.parametrize(
    "changes",
    [
        # The jobs of `main`, a group's name, and the block of another backbone of the main sweep.
        {"sweeps": {"main": MAIN | {"batches": 2}, "main_1_of_2": ONE}},
        {"sweeps": {"main": MAIN, "b": ONE, "main_and_b": EARLY | {"layer": 1}},
         "granularity": "coarse"},
        {"sweeps": {"main": MAIN, "early": EARLY}, "backbones": APART},
        {"sweeps": {"main": MAIN, "raw": ONE}, "downstream": {"sweeps": ["raw"]}},
    ],
)  # fmt: skip
def test_sweeps_that_are_called_as_jobs_are_planned(repository, changes):
    files = planned(repository, chosen(**changes))
    assert len({*files}) == len(files) > 100


def renamed(old, new):
    """The demo's study with a split or a data set of another name."""
    config = chosen()
    if old == "val":
        splits = config["datasets"]["photographs"]["splits"]
        splits[new] = splits.pop("val")
        config["evaluation"]["split"] = config["training"]["threshold_split"] = new
    else:
        config["datasets"][new] = config["datasets"].pop(old)
        others = config["metrics"]["cross_domain"]["datasets"]
        others[new] = others.pop(old)
    return config


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("val", "classes", r"splits has the name 'classes', which a file about the whole data"),
        ("val", "Probe_split", r"splits has the name 'Probe_split', which a file about"),
        ("val", "Train", r"splits has the name 'Train', which differs from 'train' in capital"),
        ("val", "a/b", r"splits has the name 'a/b', which must be letters, digits"),
        ("val", "..", r"splits has the name '\.\.', which must be letters, digits"),
        ("textures", "photographs_train_blocks_1_3", r"jobs called photographs_train_blocks_1_3,"),
        ("textures", "photographs_train_blocks_3_lean", "as jobs of several blocks of photographs"),
    ],
)
def test_names_that_cannot_be_told_apart_are_refused(old, new, said):
    with pytest.raises(UserError, match=said):
        Study(renamed(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [("val", "val_classes"), ("val", "dev-1.0"), ("textures", "photographs_train_blocks"),
     ("textures", "photographs_blocks_1_3")],
)  # fmt: skip
def test_names_that_are_only_alike_are_let_through(old, new):
    Study(renamed(old, new))
