"""What goes wrong on long runs, done to the workflow on purpose: see docs/faults.md."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from study_fixtures import ROOT
from workflow_fixtures import snakemake, study_folder, tiny_config

from visae.activations.cache import ActivationCache
from visae.base.errors import UserError
from visae.base.seals import read_document, write_document
from visae.evals.provenance import common_origin, read_origin, remarks
from visae.evals.results import KIND

PLACE = "dino_small/layer3"
CACHE = f"results/tiny/activations/{PLACE}/photographs/train.h5"
SHARDS = [CACHE.replace(".h5", f"/shard-0000{number}-of-00002.h5") for number in (0, 1)]
SAES = ("batchtopk_2x_k8", "batchtopk_4x_k8")
REDUCTIONS = [f"results/tiny/reductions/{PLACE}/{sae}/photographs/val.h5" for sae in SAES]
TABLE = "results/tiny/tables/scores.csv"
SECONDS = 600  # far more than is needed; something hangs when it takes that long


@pytest.fixture(scope="module")
def undisturbed(cut_finely, tmp_path_factory):
    """A study of one backbone, one job for each data set and metric, that has run to its scores."""
    folder = tmp_path_factory.mktemp("undisturbed") / "study"
    shutil.copytree(cut_finely, folder, symlinks=True)
    config = tiny_config(granularity="fine", interventions=None)
    config["sweeps"]["main"] |= {"backbones": ["dino_small"], "metrics": ["localization", "fvu"]}
    del config["metrics"]["cross_domain"], config["downstream"]
    snakemake(folder, "--", TABLE, config=config)
    return folder


@pytest.fixture
def repository(undisturbed, tmp_path):
    """The same, to be disturbed."""
    folder = tmp_path / "copy"
    shutil.copytree(undisturbed, folder, symlinks=True)
    return folder


def run(folder, *targets, options=(), check=True):
    """Run Snakemake to `targets`, one job at a time, as the profiles do after a failure."""
    options = ["--cores", "1", "--rerun-incomplete", *options]
    return snakemake(folder, *options, "--", *targets, check=check)


@contextlib.contextmanager
def running(folder, *targets):
    """The process group of such a run; it is killed at the end of the block, if it still runs."""
    command = [
        *(sys.executable, "-m", "snakemake", "--cores", "1", "--max-threads", "1"),
        *("--rerun-triggers", "mtime", "params", "input", "software-env", "--rerun-incomplete"),
        *("--configfile", "study.yaml", "--", *targets),
    ]
    with open(folder / "background.log", "w") as log:
        group = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield group
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group.pid, signal.SIGKILL)
        group.wait()


def wait_for_half_written(path, group):
    """Return when something is being written that is to become `path`."""
    deadline = time.monotonic() + SECONDS
    while not list(path.parent.glob(f".{path.stem}.*.partial{path.suffix}")):
        log = (path.parents[0] / "background.log").name
        assert group.poll() is None, f"{path} was not written, see {log}"
        assert time.monotonic() < deadline
        time.sleep(0.001)


def half_written_files(folder):
    return list((folder / "results").rglob(".*.partial*"))


def same_bytes(folder, undisturbed, paths):
    return all((folder / p).read_bytes() == (undisturbed / p).read_bytes() for p in paths)


def same_cache(folder, undisturbed):
    """Whether the joined caches say the same; HDF5 notes the time in them."""
    with ActivationCache(folder / CACHE) as one, ActivationCache(undisturbed / CACHE) as other:
        statistics = (one.mean == other.mean).all() and one.std == other.std
        return statistics and one.fingerprint == other.fingerprint


def remove(folder, paths):
    for path in paths:
        (folder / path).unlink()


def test_killed_extraction_job_loses_its_own_shard_only(repository, undisturbed):
    remove(repository, [CACHE, SHARDS[1]])
    written = (repository / SHARDS[0]).stat().st_mtime_ns
    with running(repository, CACHE) as group:
        wait_for_half_written(repository / SHARDS[1], group)
        children = psutil.Process(group.pid).children(recursive=True)
        [job] = [p for p in children if "extract_activations" in " ".join(p.cmdline()[1:2])]
        job.kill()  # what the kernel does when memory runs out
        assert group.wait(SECONDS) != 0
    assert not (repository / SHARDS[1]).exists()
    run(repository, CACHE)
    assert (repository / SHARDS[0]).stat().st_mtime_ns == written
    assert same_bytes(repository, undisturbed, SHARDS)
    assert same_cache(repository, undisturbed)
    assert not half_written_files(repository)


def test_killed_machine_loses_the_job_that_ran(repository, undisturbed):
    remove(repository, REDUCTIONS)
    with running(repository, *REDUCTIONS) as group:
        wait_for_half_written(repository / REDUCTIONS[0], group)
        os.killpg(group.pid, signal.SIGKILL)
        group.wait()
    assert not any((repository / path).exists() for path in REDUCTIONS)
    # Nobody could tell Snakemake that the first run is over.
    refused = run(repository, *REDUCTIONS, check=False)
    assert refused.returncode != 0
    assert "--unlock" in refused.stdout
    snakemake(repository, "--unlock")
    again = run(repository, *REDUCTIONS)
    assert "1 of 1 steps (100%) done" in again.stdout
    assert same_bytes(repository, undisturbed, REDUCTIONS)
    assert not half_written_files(repository)


def test_second_run_at_the_same_time_is_refused(repository, undisturbed):
    remove(repository, REDUCTIONS)
    with running(repository, *REDUCTIONS) as group:
        wait_for_half_written(repository / REDUCTIONS[0], group)
        os.killpg(group.pid, signal.SIGSTOP)  # so that it does not end too early
        second = run(repository, *REDUCTIONS, check=False)
        planned = snakemake(repository, "--dry-run", "--", *REDUCTIONS)
        os.killpg(group.pid, signal.SIGCONT)
        assert "This plan needs no lock; a run is refused until that command ends" in planned.stdout
        assert "This was a dry-run" in planned.stdout
        assert second.returncode != 0
        assert "is locked by a Snakemake command that runs there or was killed" in second.stdout
        assert "snakemake --unlock" in second.stdout
        assert group.wait(SECONDS) == 0
    assert same_bytes(repository, undisturbed, REDUCTIONS)


@contextlib.contextmanager
def mounted(folder, *options):
    """`folder` as a disk of its own, mounted with `options`, as long as the block lasts."""
    command = ["mount", *options, str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a disk needs root")
    mounting = subprocess.run(command, capture_output=True, text=True)
    if mounting.returncode:
        pytest.skip(f"no disk can be mounted here: {mounting.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_is_told_and_loses_the_job_that_filled_it(repository, undisturbed):
    remove(repository, [CACHE, *SHARDS])
    sizes = [(undisturbed / path).stat().st_size for path in SHARDS]
    place = (repository / CACHE).with_suffix("")
    limit = sizes[0] + sizes[1] // 2
    with mounted(place, "-t", "tmpfs", "-o", f"size={limit}", "tmpfs"):
        shutil.copy2(undisturbed / SHARDS[0], repository / SHARDS[0])
        written = (repository / SHARDS[0]).stat().st_mtime_ns
        # Without the hooks, the first of which would not even start on a disk with too little room:
        # somebody else fills it while the study runs.
        failed = run(repository, CACHE, options=["--no-hooks"], check=False)
        assert failed.returncode != 0
        sentence = f"{SHARDS[1]} cannot be written: No space left on device. Make room there"
        assert sentence in failed.stdout
        assert [path.name for path in place.iterdir()] == [Path(SHARDS[0]).name]
        subprocess.run(["mount", "-o", f"remount,size={2 * limit}", str(place)], check=True)
        run(repository, CACHE)
        assert (repository / SHARDS[0]).stat().st_mtime_ns == written
        assert same_bytes(repository, undisturbed, SHARDS)
        assert same_cache(repository, undisturbed)


def test_folder_that_is_closed_to_writing_is_told(repository):
    remove(repository, REDUCTIONS)
    results = study_folder(repository)
    with mounted(results, "--bind", "-o", "ro", str(results)):
        failed = run(repository, *REDUCTIONS, check=False)
    assert failed.returncode != 0
    folder = os.path.dirname(REDUCTIONS[0])
    while not (repository / folder).is_dir():
        folder = os.path.dirname(folder)
    assert f"{folder} is closed to writing" in failed.stdout
    assert "Traceback" not in failed.stdout
    run(repository, *REDUCTIONS)


WRITERS = {
    "text": "temporary.write_text('x' * 2**20)",
    "hdf5": "import h5py; h5py.File(temporary, 'w')['a'] = bytearray(2**20)",
    "arrays": "import numpy; numpy.save(open(temporary, 'wb'), numpy.ones(2**17))",
    "checkpoint": "import torch; torch.save(torch.ones(2**18), temporary)",
    "weights": (
        "import torch; from safetensors.torch import save_file; "
        "save_file({'a': torch.ones(2**18)}, temporary)"
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_kind_of_file_that_finds_no_room_is_told(writer, tmp_path):
    program = f"""
import os
from visae.activations.cache import ActivationCache
from visae.base.errors import UserError
from visae.base.files import atomic_path
try:
    with atomic_path("{tmp_path}/file.bin") as temporary:
        {WRITERS[writer]}
except UserError as error:
    print(error, flush=True)
    os._exit(3)  # as jobs end: HDF5 does not survive the closing of such a file
"""
    limit = 2**19
    failed = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert failed.returncode == 3, failed.stderr
    assert f"{tmp_path}/file.bin cannot be written: File too large" in failed.stdout
    assert not list(tmp_path.iterdir())


def test_score_of_other_code_is_not_put_in_the_table(repository):
    path = f"results/tiny/metrics/{PLACE}/{SAES[1]}/fvu.json"
    score = read_document(repository / path, KIND)
    score["provenance"]["code"][1] = "0123456789abcdef"
    write_document(repository / path, KIND, score)
    table = (repository / TABLE).read_bytes()
    failed = run(repository, TABLE, check=False)
    assert failed.returncode != 0
    assert "in the code of fvu for SAEs" in failed.stdout
    (repository / path).unlink()
    run(repository, TABLE)
    assert (repository / TABLE).read_bytes() == table


def scores(folder, *changes):
    """Three scores of two SAEs and two metrics; `changes`: (number, path of keys, value)."""
    documents = [
        {
            "metric": metric,
            "sae": {"backbone": "clip", "layer": 11, "name": sae},
            "provenance": {
                "code": ["script", metric],
                "inputs": {"sae": f"weights of {sae}", "activations of imagenet/val": "cache"},
                "settings": {"seed": 42},
                "versions": {"numpy": "2.4.6"},
            },
        }
        for metric, sae in (("fvu", "one"), ("fvu", "two"), ("fvu", "three"), ("absorption", "one"))
    ]
    paths = []
    for number, document in enumerate(documents):
        for where, (*keys, last), value in changes:
            if where == number:
                part = document["provenance"]
                for key in keys:
                    part = part[key]
                part[last] = value
        paths.append(folder / f"{number}.json")
        write_document(paths[-1], KIND, document)
    return paths


def origin_of(paths):
    return common_origin({path: read_origin(path) for path in paths})


def test_scores_of_one_run_are_comparable(tmp_path):
    assert remarks(origin_of(scores(tmp_path))) == ""


@pytest.mark.parametrize(
    "number,keys,odd",
    [
        (1, ("code", 1), "the code of fvu for SAEs"),
        (2, ("code", 0), "the code of fvu for SAEs"),
        (1, ("settings", "seed"), "the settings of fvu for SAEs"),
        (
            2,
            ("inputs", "activations of imagenet/val"),
            "activations of imagenet/val on clip at block 11",
        ),
    ],
)
def test_score_of_other_code_or_data_is_named(number, keys, odd, tmp_path):
    with pytest.raises(UserError, match=f"{number}.json differs from the .* in {odd}"):
        origin_of(scores(tmp_path, (number, keys, "other")))


def test_scores_of_one_sae_with_other_weights_are_refused(tmp_path):
    with pytest.raises(UserError, match="in the weights of one on clip at block 11"):
        origin_of(scores(tmp_path, (0, ("inputs", "sae"), "retrained")))


def test_other_versions_are_said(tmp_path):
    origin = origin_of(scores(tmp_path, (1, ("versions", "numpy"), "2.5.0")))
    assert remarks(origin) == (
        "  computed with different versions of numpy: {'2.4.6': 3, '2.5.0': 1}\n"
    )


def test_sweeps_are_compared_as_single_scores_are(tmp_path):
    """What two sweeps have in common is what all their scores have."""
    usual, updated = (tmp_path / name for name in ("usual", "updated"))
    for folder in (usual, updated):
        folder.mkdir()
    first = origin_of(scores(usual))
    second = origin_of(scores(updated, (1, ("versions", "numpy"), "2.5.0")))
    both = common_origin({"the sweep main": first, "the sweep jumprelu": second})
    assert both["versions"] == {"numpy": {"2.4.6": 7, "2.5.0": 1}}
    assert both["same"] == first["same"]
    other = scores(updated, *((number, ("code", 1), "other") for number in (0, 1, 2)))
    sweeps = {f"the sweep {name}": first for name in ("main", "layer_3")}
    with pytest.raises(UserError, match="the sweep other differs from the other 2 in the code of"):
        common_origin(sweeps | {"the sweep other": origin_of(other)})
