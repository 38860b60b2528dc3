"""What every eval's `compute` hands over: each thing that was read, each setting, in its place.

The functions that compute are tested by themselves. Here they are called with names that say where
a thing comes from; no argument may be left to its default.
"""

import inspect
from dataclasses import asdict

import pytest

from visae.evals.entry import RAW
from visae.evals.segmentation.heads import HeadSettings
from visae.evals.shelf import EVALS

HEAD = HeadSettings(epochs=7, batch=3)


class Named:
    """Stands for anything: what is asked of it has a name that says how."""

    def __init__(self, name, **known):
        self.__dict__ |= {"_name": name, **known}

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Named(f"{self._name}.{name}".removeprefix("."))

    def __call__(self, *arguments):
        return Named(f"{self._name}({', '.join(map(str, arguments))})")

    def __getitem__(self, key):
        return Named(f"{self._name}[{key}]")

    def __truediv__(self, other):
        return Named(f"{self} / {other}")

    def __iter__(self):
        return iter(())

    def __repr__(self):
        return self._name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def of_encoded(*names):
    return {name: f"encoded().{name}" for name in names}


JOB = {"seed": "job.seed", "device": "job.device"}
PATCHES = {"train": "patches.train", "test": "patches.test", "class_names": "patches.class_names",
           "settings": HEAD, **JOB}  # fmt: skip

HANDED_OVER = {
    "fvu": [
        ("fvu", of_encoded("squared_error", "firing_count", "tokens", "l0_sum", "residual_sum")
         | {"total_squares": "raw().total_squares", "token_mean": "raw().token_mean"})
    ],
    "localization": [
        ("localization", of_encoded("moran_sum", "moran_images", "minimum_active", "grid")
         | {"headline_minimum": "settings[minimum_active][0]",
            "minimum_images": "settings[minimum_images]"})
    ],
    "monosemanticity": [
        ("monosemanticity", of_encoded("largest", "labels")
         | {"embeddings": "embeddings()", "evaluator": "evaluator", "seed": "job.seed",
            "max_features": "settings[features]", "top": "settings[top_images]",
            "baseline_groups": "settings[baseline_groups]"})
    ],
    "preservation": [
        ("preservation", of_encoded("labels")
         | {"raw_nd": "features_max()", "recon_nd": "encoded().reconstructions_max()",
            "test_mask": "held_out()", "raw_probe": "raw_probe()", "device": "job.device"})
    ],
    "sparse_probing": [
        ("sparse_probing", of_encoded("labels")
         | {"codes_fn": "encoded().codes", "rankings": "rankings()", "test_mask": "held_out()",
            "budgets": "settings[budgets]", "device": "job.device", "processes": "job.threads"})
    ],
    "absorption": [
        ("absorption", of_encoded("labels")
         | {"codes_fn": "encoded().codes", "rankings": "rankings()", "test_mask": "held_out()",
            "sibling_groups": "sibling_groups()", "alpha": "settings[alpha]",
            "beta": "settings[beta]", "device": "job.device", "processes": "job.threads"})
    ],
    "cross_domain": [
        ("raw_reading", {"probe": "raw_probe(cub)", "test_md": "features_max(cub/b)",
                         "test_labels": "encoded(cub/b).labels"}),
        ("domain_reading", {
            "raw": "raw_reading()",
            "recon_train_nd": "encoded(cub/a).reconstructions_max()",
            "recon_test_md": "encoded(cub/b).reconstructions_max()",
            "codes_train_fn": "encoded(cub/a).codes", "codes_test_fm": "encoded(cub/b).codes",
            "rankings": "rankings(cub)", "train_labels": "encoded(cub/a).labels",
            "test_labels": "encoded(cub/b).labels", "processes": "job.threads",
            "one_vs_rest_classes": "settings[one_vs_rest_classes]", **JOB}),
        ("accuracy_within", {"x_nd": "features_max(cub/b)", "labels": "encoded(cub/b).labels",
                             **JOB}),
        ("accuracy_within", {"x_nd": "encoded(cub/b).reconstructions_max()",
                             "labels": "encoded(cub/b).labels", **JOB}),
        ("cross_domain", {"readings": {"cub": "domain_reading()"}, "headline": "settings[headline]",
                          "as_run": {"cub": "accuracy_within() / accuracy_within()"}}),
    ],
    "retrieval": [
        ("retrieve", {"features_nd": "encoded().reconstructions_max()[held_out()]",
                      "labels": "encoded().labels[held_out()]", "device": "job.device"}),
        ("retrieve_by_codes", {"codes_fn": "encoded().codes", "labels": "encoded().labels",
                               "images": "held_out()", "device": "job.device",
                               "threads": "job.threads"}),
    ],
    "classification": [
        ("reconstructed_from_m6", {"score": "result(cross_domain)", "dataset": "cub"}),
        ("classify_by_codes", {
            "codes_train_fn": "encoded(cub/a).codes", "codes_test_fm": "encoded(cub/b).codes",
            "train_labels": "encoded(cub/a).labels", "test_labels": "encoded(cub/b).labels",
            **JOB}),
    ],
    "segmentation": [
        ("check_fits", {"saved": "load_sae()", "info": "patches.train.cache.info",
                        "folder": "sae_folder()"}),
        ("segment_sae", PATCHES | {"sae": "load_sae().model"}),
    ],
}  # fmt: skip
"""Eval → the functions that it calls for an SAE, in their order, with all of their arguments."""

OF_RAW = {
    "retrieval": [
        ("retrieve", {"features_nd": "features_max()[held_out()]",
                      "labels": "raw().labels[held_out()]", "device": "job.device"}),
    ],
    "classification": [
        ("classify_raw", {"probe": "raw_probe(cub)", "test_md": "features_max(cub/b)",
                          "test_labels": "raw(cub/b).labels"}),
    ],
    "segmentation": [
        ("check_same_activations", {"info": "open_cache().info",
                                    "other": "patches.train.cache.info"}),
        ("segment_raw", PATCHES | {"mean": "statistics_of()[0]", "std": "statistics_of()[1]"}),
    ],
}  # fmt: skip
"""The same for raw features, of the tasks."""

LEFT_TO_DEFAULTS = {"memory"}
"""How many bytes are kept decides nothing that comes out."""


ELSEWHERE = {
    "cross_domain": {"datasets"},  # in `inputs.data`
    "localization": {"variance_floor"},  # of the pass that encodes
    "segmentation": {"dataset", "train", "test", "head"},  # in `inputs.data`; HEAD
}


def test_every_eval_is_here():
    assert set(EVALS) == set(HANDED_OVER)
    assert {name for name in EVALS if RAW in EVALS[name].of} == set(OF_RAW)


@pytest.mark.parametrize("name", HANDED_OVER)
def test_every_setting_of_every_eval_is_told_of(name):
    read = {setting for setting in EVALS[name].settings
            if f"settings[{setting}]" in str(HANDED_OVER[name])}  # fmt: skip
    assert set(EVALS[name].settings) - read == ELSEWHERE.get(name, set())


@pytest.mark.parametrize(
    ("name", "of_raw"),
    [*((name, False) for name in HANDED_OVER), *((name, True) for name in OF_RAW)],
)
def test_everything_is_handed_over_in_its_place(name, of_raw, monkeypatch):
    module, calls = EVALS.module(name, "compute"), []
    expected = (OF_RAW if of_raw else HANDED_OVER)[name]

    def noted(function, own):
        def call(*arguments, **settings):
            calls.append((function, inspect.signature(own).bind(*arguments, **settings).arguments))
            return Named(f"{function}()")

        return call

    def open_partly(path, whole):
        assert not whole  # nothing but its statistics is read
        return Named("open_cache()")

    for function in {function for function, _ in expected}:
        monkeypatch.setattr(module, function, noted(function, getattr(module, function)))
    if name == "segmentation":
        statistics = Named("statistics_of()[0]"), Named("statistics_of()[1]")
        monkeypatch.setattr(module, "load_sae", lambda folder: Named("load_sae()"))
        monkeypatch.setattr(module, "open_cache", open_partly)
        monkeypatch.setattr(module, "statistics_of", lambda cache: statistics)

    def shared(key, build):
        return Named("patches") if key == "patches" else build()

    domains = {"cub": ("cub/a", "cub/b")}
    inputs = Named("", of_raw=of_raw, dataset="cub", shared=shared, seen={},
                   data=Named("data", cross_domain=domains))  # fmt: skip
    settings = {"head": asdict(HEAD)} if name == "segmentation" else Named("settings")
    module.compute(inputs, settings, Named("job"))
    assert [function for function, _ in calls] == [function for function, _ in expected]
    for (function, found), (_, arguments) in zip(calls, expected, strict=True):
        assert {key: as_text(value) for key, value in found.items()} == {
            key: as_text(value) for key, value in arguments.items()
        }, function


@pytest.mark.parametrize("name", HANDED_OVER)
def test_no_argument_is_left_to_its_default(name):
    module = EVALS.module(name, "compute")
    for function, arguments in HANDED_OVER[name] + OF_RAW.get(name, []):
        parameters = set(inspect.signature(getattr(module, function)).parameters)
        assert parameters - LEFT_TO_DEFAULTS == set(arguments), function


def as_text(value):
    """Dicts by what they hold, all else by its name."""
    if isinstance(value, dict):
        return {key: as_text(each) for key, each in value.items()}
    return str(value)
