"""Every command that README and docs show is run in a clone, as a user has it after `make`.

A small finished study stands in for those that pages name (`page_fixtures.STANDS_IN`). What cannot
be run here stands in `INSTEAD`, with the reason, and where there is one with a form that is run.
"""

import json
import re
import shutil

import pytest
import torch
import yaml
from page_fixtures import PAGES, STUDY, blocks_of, clone, commands, of_small_study, shell
from PIL import Image
from study_fixtures import ROOT, paper_config
from workflow_fixtures import tiny_config

NEW = "visae new pets --images photos --backbone timm:vit_base_patch16_224.mae"
REPLICATE = "python workflow_scripts/replicate_study.py my.yaml 2 results/my_2/study.yaml"
SCORES_2 = (
    "snakemake --profile profiles/local --configfile results/my_2/study.yaml -- metrics "
    "results/my_2/tables/scores.csv"
)
ARM = (
    "folder=$(python workflow_scripts/switch_setting.py my.yaml sum_loss)\n"
    "snakemake --profile profiles/local --directory $folder --configfile $folder/study.yaml{} -- "
    "results/my/tables/scores/main.csv"
)
OWN_SAE = "visae evaluate-sae my_sae --config pets.yaml --backbone vit_base_patch16_224_mae"

AS_RUN = "snakemake -n --configfile as_run.yaml as_run_released.yaml"

SUITE = "CI runs all of it"
LONG = "computes for minutes"
ELSEWHERE = "needs a program or a machine that is not at hand"

LANGUAGES = {"bash", "text", "python", "yaml", "csv", "mermaid"}
"""Of which Python is run by test_open_study.py and others; the rest are no commands."""

BENCHMARKS = sorted(
    {command.split()[0] for page in PAGES for command in commands(page) if "benchmarks/" in command}
)
HELPS = f"python tests/show_help.py {' '.join(BENCHMARKS)}"
COLLECT = "python -m pytest --collect-only tests/probing/test_auc.py -k ties"
FUZZ = 'python tests/workflow/fuzz.py --mutations 1 --seed 7 --show --of cache "SAE weights"'

INSTEAD = {
    **{
        f"make {name}": (SUITE, f"make -n {name}")
        for name in ("demo", "test", "lint", "demo-slurm")
    },
    **{
        f"make {name}": (LONG, f"make -n {name}")
        for name in (
            *("miniature", "paper-shapes", "mutants", "bench", "as-run"),
            "as-run PROFILE=miniature",
        )
    },
    "make bench-gpu": ("needs a GPU", "make -n bench-gpu"),
    "make docs": ("test_site.py builds them", "make -n docs"),
    "make .venv/.ready": ("downloads packages", "make -n .venv/.ready"),
    "pip install -e .": ("changes what the tests run with; `make` does it", None),
    "pre-commit install": (ELSEWHERE, None),
    ".ci/run": (SUITE, "bash -n .ci/run"),
    "docker build --tag visae .": (ELSEWHERE, None),
    "docker run --gpus all --shm-size 8g --user $(id -u):$(id -g) --volume $PWD:/study visae "
    "--profile profiles/local": (ELSEWHERE, None),
    "apptainer build visae.sif docker-daemon://visae:latest": (ELSEWHERE, None),
    "apptainer run --nv --bind $PWD:/study --pwd /study visae.sif --profile profiles/local": (
        *(ELSEWHERE, None),
    ),
    "snakemake --profile slurm": (ELSEWHERE, "snakemake --profile slurm -n"),
    "snakemake --profile slurm --configfile my.yaml": (
        *(ELSEWHERE, "snakemake --profile slurm --configfile my.yaml -n"),
    ),
    "snakemake --profile profiles/local --configfile as_run.yaml": ("needs ImageNet", AS_RUN),
    "visae run pets.yaml": ("downloads weights", "visae run pets.yaml -n"),
    OWN_SAE: ("downloads weights", f"{OWN_SAE} -n"),
    SCORES_2: ("computes for a minute", SCORES_2.replace(" --conf", " -n --conf")),
    ARM.format(""): ("computes for a minute", ARM.format(" -n")),
    "snakemake --profile profiles/local --forcerun index_imagenet -- all": (
        *(LONG, "snakemake --profile profiles/local -n --forcerun index_imagenet -- all"),
    ),
    "python resources/list_models.py": (LONG, "python resources/list_models.py count"),
    "python resources/list_preprocessing.py": ("test_preprocessing.py compares its rows", None),
    "python resources/compare_implementations.py": (LONG, None),
    "python tests/workflow/fuzz.py": (LONG, FUZZ),
    FUZZ.replace("mutations 1", "mutations 5000"): (LONG, FUZZ),
    "VISAE_FUZZ=1000 python -m pytest tests/workflow/test_fuzz.py": (LONG, FUZZ),
    "python -m pytest tests/probing/test_auc.py": (SUITE, COLLECT),
    "python -m pytest tests/probing -k ties": (SUITE, COLLECT),
    **{
        command: (LONG, HELPS)
        for page in PAGES
        for command in commands(page)
        if command.startswith("benchmarks/")
    },
}
"""Command that is not run → (why not, what is run instead)."""

IN_A_FRESH_CLONE = (
    "make plan",
    "snakemake --profile profiles/local -n",
    "snakemake --profile profiles/local -n results/paper/saes/clip/layer11/batchtopk_16x_k128/"
    "model.safetensors",
    "snakemake --profile profiles/local plan --configfile config.yaml changes.yaml",
    AS_RUN,
)
"""These are about the paper's own study, of which there is nothing yet."""

MADE_BY = {"pets.yaml": NEW, "results/tiny_2/study.yaml": REPLICATE}
"""What a command reads → the command that makes it."""

DONE = "Nothing to be done"
ROWS = r"(?m)^{} +{}$"
"""A row of the table of jobs."""

SAYS = {
    "make plan": r"GPU-hours(.|\n)*results/paper/plan/plan\.md",
    "visae run pets.yaml -- plan": "results/pets/plan/plan.md",
    "visae run my.yaml -- plan": "GPU-hours",
    "snakemake --profile profiles/local plan": "results/tiny/plan/plan.csv",
    "snakemake --profile profiles/local plan --configfile config.yaml changes.yaml": (
        r"results/wider/plan/plan\.md"
    ),
    "snakemake --profile profiles/local -n": ROWS.format("train_main", 5),
    "snakemake --profile profiles/local -n results/paper/saes/clip/layer11/batchtopk_16x_k128/"
    "model.safetensors": ROWS.format("train_main", 1),
    AS_RUN: r"(?m)^inspect_main",
    "snakemake --profile profiles/local": DONE,
    "snakemake --profile profiles/local -- metrics": DONE,
    "snakemake --profile profiles/local --touch": DONE,
    "snakemake --profile profiles/demo -n": DONE,
    "snakemake --profile profiles/local --touch --forceall --keep-incomplete": r"100%\) done",
    "snakemake --profile profiles/local --forcerun index_imagenet -- all": (
        ROWS.format("index_photographs", 1)
    ),
    SCORES_2: ROWS.format("pretrain_backbone", 2),
    ARM.format(""): ROWS.format("train_main", 2),
    OWN_SAE: ROWS.format("evaluate_my_sae_metrics", 1),
    "visae run pets.yaml": ROWS.format("train_main", 1),
    "visae run pets.yaml -n": ROWS.format("train_main", 1),
    "visae check pets.yaml": "nothing is wrong",
    "visae check my.yaml": "nothing is wrong",
    NEW: "20 images of 2 classes",
    "visae look clip_small/layer3/batchtopk_8x_k24 12": (
        f"file://.*/{STUDY}/features/dino_small/layer3/batchtopk_4x_k8/index.html#12\n"
    ),
    "python -m visae.interface.patches results/demo clip_small/layer3/batchtopk_8x_k24 photo.jpg "
    "3,4 3,5": r"(?m)^feature +sum +patches",
    "python tests/workflow/architecture.py sizes": "lines of rules",
    "python resources/list_models.py count": (
        "".join(f"{name}: {{}}\n" for name in ("timm", "open_clip", "transformers")).format(
            *re.findall(r"\| (\d+ of \d+) \|\n", (ROOT / "docs/backbones.md").read_text("utf-8"))
        )
    ),
    "python tests/workflow/fuzz.py": r"(?m)^SAE weights +1 ",
    "python -m pytest tests/probing -k ties": r"test_auc\.py::test_\w*ties",
}
"""Command → what it says, as a regular expression."""

MAKES = {
    "snakemake --profile profiles/demo figure_3": [
        f"{STUDY}/figures/figure_3.{kind}" for kind in ("png", "pdf")
    ],
    "snakemake --profile profiles/demo --report report.zip": ["report.zip"],
    "snakemake --profile profiles/local -- export": [
        f"{STUDY}/export/deit_small/layer3/batchtopk_2x_k8/model.safetensors"
    ],
    NEW: ["pets.yaml"],
    OWN_SAE: ["pets_with_my_sae.yaml"],
    REPLICATE: ["results/tiny_2/study.yaml"],
    "cp -a results .snakemake /other/checkout/": [f"other/{STUDY}/tables/scores.csv"],
    "cp -r docs/examples/evals my_evals": ["my_evals/selectivity/entry.py"],
    "python tests/workflow/architecture.py > docs/images/architecture.svg": [
        "docs/images/architecture.svg"
    ],
}
"""Command → files that it makes."""

LEADS_TO = {
    "snakemake --profile profiles/demo -- features": f"{STUDY}/features/*/*/*/index.html",
    "snakemake --profile profiles/demo -- matches": f"{STUDY}/matches/*/index.html",
    "snakemake --profile profiles/demo -- interventions": f"{STUDY}/interventions/*/*/*/index.html",
}
"""Command of what the finished study has → files that its page then tells to open."""

SHOWN = {}
"""Command → the first page that shows it, in the order of the pages."""
for _page in PAGES:
    for _command in commands(_page):
        SHOWN.setdefault(_command, _page.relative_to(ROOT).as_posix())


def form_of(command):
    """What is run for a command; None where nothing is."""
    form = INSTEAD.get(command, ("", command))[1]
    if form is None or form in IN_A_FRESH_CLONE:
        return form
    if re.fullmatch(r"visae [\w-]+", form):  # a verb, without what it needs
        form += " --help"
    return of_small_study(form)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return shell(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A clone, and empty folders where the paper's data sets belong."""
    folder = clone(tmp_path_factory.mktemp("fresh"))
    for entry in paper_config()["datasets"].values():
        (folder / entry["root"]).mkdir(parents=True)
    (folder / "changes.yaml").write_text("study: wider\n")
    return folder


@pytest.fixture(scope="module")
def studied(finished, tmp_path_factory):
    """A clone with the finished study as all that pages name, and with files of a user's own."""
    folder = clone(tmp_path_factory.mktemp("studied"))
    for part in ("results", ".snakemake"):
        shutil.copytree(finished / part, folder / part)
    config = tiny_config()
    own = config | {"arms": {"sum_loss": {"training": {"loss": "sum"}}}}
    for name, each in (("config", config), ("profiles/demo/study", config), ("my", own)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(each, sort_keys=False))
    for kind in ("cat", "dog"):
        (folder / "photos" / kind).mkdir(parents=True)
        for number in range(10):
            image = Image.new("RGB", (64, 64), (20 * number, 90, 9))
            image.save(folder / "photos" / kind / f"{number}.png")
    image.save(folder / "photo.jpg")
    save_sae(folder / "my_sae", width=768)
    (folder / "other").mkdir()
    return folder


def save_sae(folder, width):
    """An SAE of `width` features and activations, as dictionary-learning saves one."""
    made = ROOT / "tests/sae/exchange/checkpoints/dictionary_learning/topk"
    settings = json.loads((made / "config.json").read_text("utf-8"))
    settings["trainer"] |= {"activation_dim": width, "dict_size": width}
    weights = torch.load(made / "ae.pt")
    for name, tensor in weights.items():
        if tensor.ndim and name != "k":
            weights[name] = torch.randn([width] * tensor.ndim)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings))
    torch.save(weights, folder / "ae.pt")


@pytest.fixture(scope="module")
def ended(run, request):
    """`ended(command)`: (folder, what was run, its end); a form of several commands runs once."""
    runs = {}

    def of(command):
        form = form_of(command)
        folder = request.getfixturevalue("fresh" if form in IN_A_FRESH_CLONE else "studied")
        if form not in runs:
            for read, maker in MADE_BY.items():
                if maker != command and read in form and not (folder / read).exists():
                    assert run(form_of(maker), folder).returncode == 0
            for made in MAKES.get(command, []):
                (folder / made).unlink(missing_ok=True)
            runs[form] = run(form, folder)
        return folder, form, runs[form]

    return of


@pytest.mark.parametrize("command", [command for command in SHOWN if form_of(command)])
def test_a_command_runs_as_its_page_shows_it(command, ended):
    folder, form, end = ended(command)
    said = f"{SHOWN[command]}: {form}\n{end.stdout}"
    assert end.returncode == 0, said
    assert re.search(SAYS.get(command, ""), end.stdout), said
    for made in MAKES.get(command, []):
        assert (folder / made).exists(), said
    if command in LEADS_TO:
        assert list(folder.glob(LEADS_TO[command])), said
    if command.startswith("benchmarks/"):
        program, *words = command.split()
        usage = end.stdout.partition(f"{program}:\n")[2].partition("benchmarks/")[0]
        assert usage.startswith("usage: ")
        assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--\w+", usage))


def test_the_tables_of_commands_name_what_pages_show():
    for table in (INSTEAD, SAYS, MAKES, LEADS_TO):
        assert not set(table) - set(SHOWN)
    run_instead = {form for _, form in INSTEAD.values()}
    assert not set(IN_A_FRESH_CLONE) - set(SHOWN) - run_instead
    for read, maker in MADE_BY.items():
        assert maker in SHOWN
        assert any(read in (form_of(command) or "") for command in set(SHOWN) - {maker})
    assert all(reason for reason, _ in INSTEAD.values())


def test_every_block_says_its_language():
    """One without could hold commands that nobody runs."""
    for page in PAGES:
        for language, _ in blocks_of(page):
            assert language in LANGUAGES, page


def test_commands_are_read_as_a_shell_reads_them(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "A `make demo`, `make\ntest` and `cp -r`.\n\n```bash\n# no command\nls -l  # files\n\n"
        "x=$(pwd)\nls $x\npython - <<'END'\nprint(1)\n\nEND\n. a\n```\n\n```text\nmake no\n```\n"
    )
    assert list(commands(page)) == [
        *("ls -l", "x=$(pwd)\nls $x", "python - <<'END'\nprint(1)\n\nEND", ". a"),
        *("make demo", "make test"),
    ]
    assert len(SHOWN) > 80
