"""The entries that docs/extending.md shows: each is written where it says, and works."""

import os
import re
import shutil
import subprocess

import pytest
import warm_python
from study_fixtures import ROOT
from workflow_fixtures import JOBS, warm

GUIDE = (ROOT / "docs" / "extending.md").read_text("utf-8")
CODE = dict(re.findall(r"```python\n# (workflow_scripts/\S+)\n(.*?)```", GUIDE, re.DOTALL))

# Entry → a program that uses it as the jobs do.
PROGRAMS = {
    "groupmax": """
import torch
from visae.sae.families import FAMILIES
from visae.sae.specs import SaeSpec, TrainingSettings
spec = SaeSpec.from_text("groupmax_4x_k4")
torch.manual_seed(0)
x = torch.randn(64, 8)
trainer = FAMILIES.module("groupmax", "trainer").TRAINER(spec, 8, TrainingSettings(), "cpu")
losses = [float(trainer.step(x).loss) for _ in range(30)]
assert losses[-1] < 0.9 * losses[0], losses
pre = torch.randn(50, 32)
kept = trainer.keep(pre).unflatten(1, (4, 8))
assert kept.sum(2).max() == 1
assert (kept.sum(2) == 1).equal((pre.unflatten(1, (4, 8)) > 0).any(2))
""",
    "torchvision": """
from visae.backbones import BackboneSpec, build_backbone
from visae.backbones.checks import check_backbone
spec = BackboneSpec("small", "torchvision", "vit_b_32", weights="random", image_size=64)
backbone = build_backbone(spec)
assert (backbone.grid, backbone.depth, backbone.prefix_tokens) == ((2, 2), 12, 1)
check_backbone(backbone, 1, "float32")
""",
    "oxford_pets": """
import pathlib, sys
from visae.images.layouts import index_images
root = pathlib.Path(sys.argv[1])
(root / "images").mkdir(parents=True)
(root / "annotations").mkdir()
listed = {"trainval": ["Sphynx_1", "great_pyrenees_7"], "test": ["great_pyrenees_2"]}
for split, names in listed.items():
    lines = [f"{name} 1 1 1" for name in names]
    (root / "annotations" / f"{split}.txt").write_text("\\n".join(lines))
    for name in names:
        (root / "images" / f"{name}.jpg").touch()
for split, names in listed.items():
    index = index_images("oxford_pets", root, split)
    assert [record.class_name for record in index.classes] == ["Sphynx", "great_pyrenees"]
    labels = {record.image_id: record.label for record in index.images}
    assert labels == {name: int(name.startswith("great")) for name in names}
""",
    "rotation": """
import torch
from visae.backbones import BackboneSpec, build_backbone
from visae.images.index import ClassRecord
from visae.pretraining.decoded import DecodedSplit
from visae.pretraining.pretrain import pretrain
from visae.pretraining.training import PretrainingSettings
options = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
spec = BackboneSpec("b", "timm", "vit_tiny_patch16_224", "random", 32, options=options)
torch.manual_seed(0)
bright = torch.arange(32) * 8
images = (bright[:, None].expand(32, 32) + torch.randint(8, (24, 3, 32, 32))).to(torch.uint8)
split = DecodedSplit(images, torch.zeros(24, dtype=torch.int64), (ClassRecord(0, "c"),))
settings = PretrainingSettings("rotation", 60, 12, 2e-3)
log = pretrain(build_backbone(spec), split, settings).log
assert log[-1]["loss"] < 0.8 * log[0]["loss"], log
""",
}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """A copy of the library with the guide's entries."""
    folder = tmp_path_factory.mktemp("guide")
    for part in ("workflow_scripts/visae", "rules/schemas", "resources"):
        shutil.copytree(ROOT / part, folder / part)
    for path, code in CODE.items():
        (folder / path).parent.mkdir(exist_ok=True)
        assert not (folder / path).exists()
        (folder / path).write_text(code, "utf-8")
    return folder / "workflow_scripts"


def run(scripts, program, *arguments):
    file = scripts.parent / "program.py"
    file.write_text(program, "utf-8")
    run = subprocess.run(
        [*warm_python.command(warm(*JOBS)), file, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(scripts)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_entry_of_the_guide_is_one_file_or_folder():
    homes = {re.sub(r"/(entry|trainer|objective)\.py$", "", path) for path in CODE}
    assert {home.rpartition("/")[2].removesuffix(".py") for home in homes} == set(PROGRAMS)


@pytest.mark.parametrize("entry", PROGRAMS)
def test_the_guides_entries_work(scripts, tmp_path, entry):
    run(scripts, PROGRAMS[entry], tmp_path / "data")


def test_the_guides_names_may_stand_in_a_config(scripts):
    program = """
import yaml, sys
from visae.study.study import Study
config = yaml.safe_load(open(sys.argv[1]))
config["sweeps"]["pets"] = {"family": "groupmax", "grid": {"expansion_factor": [4], "k": [8]}}
backbone = config["backbones"]["deit_small"]
backbone["loader"], backbone["model"] = "torchvision", "vit_b_16"
backbone["pretraining"]["objective"] = "rotation"
config["datasets"]["digits"]["layout"] = "oxford_pets"
study = Study(config)
assert study.sweeps["pets"].sae_names() == ["groupmax_4x_k8"]
"""
    run(scripts, program, ROOT / "profiles/demo/study.yaml")
