"""No file of a finished study is read in another's stead, nor one that was edited.

Every file that a job reads is exchanged for each other one of its kind: of another backbone, SAE,
split, data set or metric. It is exchanged for what another study has in its place: a file that is
whole and in its own place, but was made of other files. And one of its values is edited.
"""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import safetensors
import safetensors.torch
from workflow_fixtures import study_folder

from visae.activations.cache import ActivationCache
from visae.activations.format import open_sealed
from visae.audit.cards import FEATURES, MATCHES, read_card
from visae.audit.examples import read_examples
from visae.backbones.checkpoints import read_tensors
from visae.backbones.geometry import Geometry, read_geometries, write_geometries
from visae.base import seals
from visae.base.errors import UserError
from visae.base.paths import home_of
from visae.base.seals import SEAL, beside, read_beside
from visae.encoding.reductions import RawReductions, SaeReductions
from visae.evals.results import load, read_arrays
from visae.figures import FORMAT as FIGURE
from visae.images import inventory
from visae.images.index import IMAGES_FORMAT, read_classes
from visae.interventions.outcomes import read_outcomes
from visae.interventions.settings import CARD_FORMAT
from visae.pretraining.records import read_log, read_sanity
from visae.probing.multinomial import read_probe
from visae.probing.rankings import read_rankings
from visae.probing.splits import read_split, write_split
from visae.sae import folder as sae_folder
from visae.sae.checkpoint import load_sae
from visae.sae.exchange.inspected import libraries_code, write_inspected
from visae.study.config import read_config
from visae.tables import layout
from visae.tables.scores import read_origin_of
from visae.tables.tidy import read_rows


def read_cache(path):
    """Statistics and every chunk."""
    with ActivationCache(path) as cache:
        for number in range(len(cache.chunks)):
            cache.read_chunk(number)


def read_shard(path):
    open_sealed(path).close()


def read_reductions(path):
    with SaeReductions(path) as encoded:
        return encoded.codes[:], encoded.reconstructions_max()


def read_raw(path):
    with RawReductions(path) as raw:
        return raw.features_max(), raw.embeddings()


def read_weights(path):
    return read_tensors(SimpleNamespace(weights=str(path), name="x"))


KINDS = {
    "index": ("index/*/*[a-z0-9].csv", lambda path: read_beside(path, IMAGES_FORMAT)),
    "classes": ("index/*/classes.csv", read_classes),
    "probe split": ("index/*/probe_split.csv", lambda path: read_split(path, [])),
    "inventory": ("index/*/inventory.tsv", inventory.read),
    "pretrained weights": ("pretraining/*/weights.safetensors", read_weights),
    "pretraining log": ("pretraining/*/log.jsonl", read_log),
    "pretraining's worth": ("pretraining/*/sanity.json", read_sanity),
    "shard": ("activations/*/*/*/*/shard-*.h5", read_shard),
    "cache": ("activations/*/*/*/*.h5", read_cache),
    "SAE": ("saes/*/*/*/model.safetensors", lambda path: load_sae(path.parent)),
    "SAE's config": ("saes/*/*/*/config.yaml", sae_folder.read_config),
    "training log": ("saes/*/*/*/training.jsonl", sae_folder.read_log),
    "reductions": ("reductions/*/*/b*/*/*.h5", read_reductions),
    "raw reductions": ("reductions/*/*/raw/*/*.h5", read_raw),
    "ranking": ("rankings/*/*/*/*.h5", read_rankings),
    "probe": ("probes/*/*/*.npz", read_probe),
    "score": ("metrics/*/*/*/*.json", load),
    "arrays": ("metrics/*/*/*/*.npz", read_arrays),
    "downstream result": ("downstream/*/*/*/*.json", load),
    "examples": ("examples/*/*/*.h5", read_examples),
    "card": ("features/*/*/*/card.json", lambda path: read_card(path, FEATURES)),
    "card's picture": (
        "features/*/*/*/card.webp",
        lambda path: read_card(path.with_suffix(".json"), FEATURES),
    ),
    "card of matches": ("matches/*/card.json", lambda path: read_card(path, MATCHES)),
    "picture of matches": (
        "matches/*/card.webp",
        lambda path: read_card(path.with_suffix(".json"), MATCHES),
    ),
    "outcomes of interventions": ("interventions/*/*/*/outcomes.json", read_outcomes),
    "interventions' card": (
        "interventions/*/*/*/card.json",
        lambda path: read_card(path, CARD_FORMAT),
    ),
    "interventions' picture": (
        "interventions/*/*/*/card.webp",
        lambda path: read_card(path.with_suffix(".json"), CARD_FORMAT),
    ),
    "tidy table": ("tables/**/*[a-z].csv", read_rows),
    "origin": ("tables/scores/*.origin.json", lambda path: read_origin_of(bare(path))),
    "table": ("tables/*.json", layout.read),
    "figure": ("figures/*.png", lambda path: read_beside(path, FIGURE)),
    "config": ("config.yaml", read_config),
}
"""Kind → its files below the results, and what a job reads one with."""

OF_WEIGHTS = ("SAE's config", "training log")
"""The kinds that an SAE's weights have the seal of."""
SOME = 6
"""Files of a kind that are exchanged for all others, where there are more of them."""


def bare(path):
    """`scores/main.csv`, beside which `scores/main.origin.json` lies."""
    return Path(str(path).replace(".origin.json", ".csv"))


def files_of(results, kind):
    """The files of a kind, spread over all that there are."""
    pattern, _ = KINDS[kind]
    found = sorted(results.glob(pattern))
    if kind == "index":
        found = [path for path in found if path.stem not in ("classes", "probe_split")]
    if kind in ("tidy table", "figure"):
        found = [path for path in found if beside(path).exists()]
    return found


@pytest.fixture(scope="module")
def results(finished, tmp_path_factory):
    """A copy of the tiny study's results, in which files may be exchanged."""
    copy = tmp_path_factory.mktemp("exchanged") / "results" / "tiny"
    shutil.copytree(study_folder(finished), copy, symlinks=True)
    return copy


def contents(path):
    """The bytes of a file and of the seal beside it, if it has one there."""
    return {own: own.read_bytes() for own in (path, beside(path)) if own.exists()}


def put(path, content):
    """Write `contents` of a file to `path`."""
    for own, data in zip((path, beside(path)), content.values(), strict=False):
        own.write_bytes(data)


def refused(kind, path, name=None):
    """Whether the reader of the kind refuses the file, by its name (or another's)."""
    _, read = KINDS[kind]
    seals._recorded.cache_clear()  # files are changed here within a tick of the clock
    said = None
    try:
        read(path)
    except UserError as error:
        said = str(error)
    if said is not None:
        assert (name or path).name in said
        assert re.search("remove|run|train", said)
    return said is not None


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_read(results, kind):
    files = files_of(results, kind)
    assert files
    assert not [path for path in files if refused(kind, path)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_in_the_place_of_another_of_its_kind_is_refused(results, kind):
    files = files_of(results, kind)
    accepted, tried = [], 0
    for path in files[:: max(1, len(files) // SOME)]:
        own = contents(path)
        for other in files[:: max(1, len(files) // SOME)]:
            # Equal texts of two SAEs are not exchanged.
            if other.read_bytes() != own[path]:
                tried += 1
                put(path, contents(other))
                if not refused(kind, path):
                    accepted.append((path, other))
        put(path, own)
    assert not accepted
    assert tried or len({path.read_bytes() for path in files}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_value_is_refused(results, kind):
    files = files_of(results, kind)
    for path in files[:: max(1, len(files) // 3)]:
        own = contents(path)
        edits = list(edited(path))
        assert edits
        for edit in edits:
            edit()
            assert refused(kind, path), (path, edit)
            put(path, own)


def edited(path):
    """Functions that each change one value of the file at `path`, and leave its form whole."""
    match path.suffix:
        case ".h5":
            yield from edits_of_hdf5(path)
        case ".npz":
            yield lambda: edit_npz(path)
        case ".safetensors":
            yield lambda: edit_tensors(path)
        case ".json":
            yield lambda: edit_json(path)
            yield lambda: edit_json(path, seal=True)
        case ".png" | ".webp":
            yield lambda: path.write_bytes(path.read_bytes() + b"\0")
        case _:
            yield lambda: edit_text(path)


def edits_of_hdf5(path):
    names = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        names = [name for name in names if file[name].size and not file[name].is_virtual]

    def edit(name):
        with h5py.File(path, "r+") as file:
            values = file[name][()]
            flat = np.atleast_1d(values).view(np.uint8).copy()
            flat.reshape(-1)[0] ^= 1
            changed = flat.view(np.atleast_1d(values).dtype).reshape(np.shape(values))
            file[name][...] = changed

    for name in names:
        # Chunks of a shard are checked when the cache is read.
        if not (name == "activations" and "shard" in path.name):
            yield lambda name=name: edit(name)

    def attribute():
        with h5py.File(path, "r+") as file:
            name = next((name for name in file.attrs if name != SEAL), SEAL)
            value = file.attrs[name]
            file.attrs[name] = np.bytes_(b"x") if isinstance(value, bytes) else value + 1

    yield attribute


def edit_npz(path):
    with np.load(path) as file:
        arrays = dict(file)
    name = next(name for name, array in arrays.items() if array.dtype.kind == "f")
    arrays[name] = arrays[name] + 1
    np.savez(path, **arrays)


def edit_tensors(path):
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = safetensors.torch.load_file(path)
    name = min(tensors)
    tensors[name] = tensors[name] + 1
    safetensors.torch.save_file(tensors, path, metadata)


def edit_json(path, seal=False):
    document = json.loads(path.read_text())
    if seal:
        document[SEAL]["made_of"]["saes/x"] = "0"
    else:
        document = {"note": 1} | document
    path.write_text(json.dumps(document))


def edit_text(path):
    text = path.read_text()
    number = list(re.finditer(r"\d", text))[-1]
    digit = str((int(number[0]) + 1) % 10)
    path.write_text(text[: number.start()] + digit + text[number.end() :])


# ---------------------------------------------------------------- what no tiny study has two of


def test_a_probe_split_of_another_data_set_is_refused(tmp_path):
    """With equal image ids, so that the split would fit."""
    own, other = (tmp_path / "index" / name / "probe_split.csv" for name in ("birds", "textures"))
    for path, mask in ((own, [True, False]), (other, [False, True])):
        write_split(path, ["a", "b"], np.array(mask))
        assert read_split(path, ["a", "b"]).tolist() == mask
    put(own, contents(other))
    with pytest.raises(UserError, match=r"is a copy of 'index/textures/probe_split.csv'"):
        read_split(own, ["a", "b"])


def test_what_was_read_of_other_published_saes_is_read_anew(tmp_path):
    own, other = (tmp_path / "published/main" / f"{name}-layer3.json" for name in ("clip", "dino"))
    for path in (own, other):
        write_inspected(path, path.stem, {})
        assert libraries_code(path) == path.stem
    put(own, contents(other))
    assert libraries_code(own) not in (own.stem, other.stem)


def test_an_edited_geometry_is_measured_anew(tmp_path):
    path, known = tmp_path / "plan/geometry.json", {"{}": Geometry(196, 768, (1,))}
    write_geometries(path, known)
    assert read_geometries(path) == known
    path.write_text(path.read_text().replace("196", "195"))
    assert read_geometries(path) == {}


# ---------------------------------------------------------------- of another study


def sealed_anew(path, change):
    """Seal the file at `path` as if it had been written with other inputs: `change` of made_of.

    Its content stays, and its seal is valid: so does another study write it to this place.
    """
    seal = seals.recorded(path)
    further = {"beside": seal["beside"]} if "beside" in seal else {}
    made_of = {name: change(digest) for name, digest in seal["made_of"].items()}
    put_seal(path, seals.sealed(path, seal["kind"], seal["content"], made_of, **further))


def put_seal(path, seal):
    """Write `seal` to where the file at `path` has its own."""
    text = json.dumps(seal)
    match path.suffix:
        case ".h5":
            with h5py.File(path, "r+") as file:
                file.attrs[SEAL] = np.bytes_(text.encode())
        case ".npz":
            with np.load(path) as file:
                arrays = dict(file)
            np.savez(path, **(arrays | {SEAL: np.array(text)}))
        case ".safetensors":
            tensors = safetensors.torch.load_file(path)
            safetensors.torch.save_file(tensors, path, {SEAL: text})
        case ".json":
            document = json.loads(path.read_text())
            path.write_text(json.dumps(document | {SEAL: seal}))
        case _:
            beside(path).write_text(text)


MADE = [
    kind for kind in KINDS if kind not in ("index", "classes", "inventory", "config", *OF_WEIGHTS)
]
"""The kinds whose files were made of others."""


@pytest.mark.parametrize("kind", MADE)
def test_a_file_that_was_made_of_others_is_refused(results, kind):
    """Another study's, or from before something was trained, extracted or computed again."""
    # A table of settings alone is made of no file.
    files = [path for path in files_of(results, kind) if seals.recorded(path)["made_of"]]
    assert files
    for path in files[:: max(1, len(files) // 3)]:
        own = contents(path)
        sealed_anew(path, lambda digest: digest)
        assert not refused(kind, path), "sealing it anew is no reason to refuse it"
        sealed_anew(path, lambda digest: digest[::-1])
        name = None
        if kind == "arrays":  # these belong to a score
            name = path
        assert refused(kind, path, name)
        put(path, own)


def dependants(results, root):
    """The files that were made of the file at `root`, by what their seals say."""
    place = home_of(root)[1]
    for kind in MADE:
        for path in files_of(results, kind):
            if home_of(path)[0] is not None and place in seals.recorded(path)["made_of"]:
                yield kind, path


@pytest.mark.parametrize("kind", ["index", "classes", "pretrained weights", "cache", "SAE"])
def test_what_was_made_of_a_file_is_refused_once_that_is_another(results, kind):
    """An SAE that was trained again, a cache that was extracted again, an index that was edited."""
    root = files_of(results, kind)[0]
    found = list(dependants(results, root))
    own = contents(root)
    sealed_as_another(root)
    refused_now = [refused(other, path, root) for other, path in found]
    put(root, own)
    assert len(found) > 2
    assert all(refused_now)


def sealed_as_another(path):
    """Give the file at `path` the seal of one of other content, as one written anew has."""
    seal = seals.recorded(path)
    further = {"beside": seal["beside"]} if "beside" in seal else {}
    content = seal["content"][::-1]
    put_seal(path, seals.sealed(path, seal["kind"], content, seal["made_of"], **further))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in OF_WEIGHTS])
def test_files_of_an_older_version_are_refused(results, kind):
    path = files_of(results, kind)[0]
    own = contents(path)
    as_old(path)
    assert refused(kind, path)
    put(path, own)


def as_old(path):
    """Give the file at `path` a seal of another version, else valid."""
    seal = seals.recorded(path)
    further = {"beside": seal["beside"]} if "beside" in seal else {}
    put_seal(path, seals.sealed(path, "visae-old-0", seal["content"], seal["made_of"], **further))
