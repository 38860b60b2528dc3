"""Two copies of a job at once, as after a lost host comes back, end at the bytes of one."""

import runpy
import subprocess
import sys
from pathlib import Path

from study_fixtures import ROOT

# Trains, encodes and writes a score; both copies wait for each other before every step.
COPY = """
import runpy, sys, time
from pathlib import Path
import torch
from visae.activations.cache import ActivationCache
from visae.base.files import write_json
from visae.encoding.reductions import SaeReductions
from visae.encoding.sae_pass import encode_activations
from visae.sae.checkpoint import load_sae
from visae.sae.specs import SaeSpec, TrainingSettings
from visae.sae.training import train_and_save

cache_path, folder, own, others = map(Path, sys.argv[1:5])

def meet(step):
    own.with_suffix(f".{step}").touch()
    while not others.with_suffix(f".{step}").exists():
        time.sleep(0.001)

torch.set_num_threads(1)
spec = SaeSpec.from_text("batchtopk_2x_k4")
settings = TrainingSettings(batch_size=64, epochs=6, checkpoint_minutes=0)
with ActivationCache(cache_path) as cache:
    meet("train")
    resume = folder / "resume" / "main"
    train_and_save([spec], cache, cache, folder, settings, torch.device("cpu"), resume)
    sae = load_sae(folder / spec.name)
    output = folder / "reductions.h5"
    meet("encode")
    encode_activations(
        cache, {"sae": sae.model}, {"sae": output}, sae_fingerprints={"sae": sae.fingerprint}
    )
    meet("score")
    with SaeReductions(output) as encoded:
        for _ in range(20):
            write_json(folder / "score.json", {"value": float(encoded.codes[:].sum())})
"""


def run_copies(cache, folder, names):
    folder.mkdir()
    pairs = [(names[number], names[number - 1]) for number in range(len(names))]
    copies = [
        subprocess.Popen(
            [sys.executable, "-c", COPY, str(cache), str(folder / "made"), *map(str, pair)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for pair in [(folder / own, folder / other) for own, other in pairs]
    ]
    for copy in copies:
        _, errors = copy.communicate(timeout=300)
        assert copy.returncode == 0, errors
    made = folder / "made"
    return {
        str(path.relative_to(made)): path.read_bytes()
        for path in sorted(made.rglob("*"))
        if path.is_file()
    }


def test_two_copies_of_a_job_end_at_the_bytes_of_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "workflow_scripts"))
    kernels = runpy.run_path(str(ROOT / "envs" / "compile_kernels.py"))
    (tmp_path / "cache").mkdir()
    cache = Path(kernels["write_cache"](tmp_path / "cache"))
    alone = run_copies(cache, tmp_path / "alone", ["one"])
    together = run_copies(cache, tmp_path / "together", ["one", "two"])
    assert len(alone) == 5  # three files of an SAE, its reductions, a score
    assert together == alone
