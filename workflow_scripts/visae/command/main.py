"""The verbs of `visae`. What a verb needs is imported when it is called."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from visae.base import progress
from visae.base.errors import UserError

CONFIG = click.Path(exists=True, dir_okay=False, path_type=Path)


class Verbs(click.Group):
    """A group that ends a UserError as one sentence and exit status 1."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="visae-workflow", prog_name="visae")
def main():
    """Studies of vision SAEs: from image folders to scores, tables and figures.

    Every verb prints the Snakemake command that it stands for.
    """
    terminal = sys.stderr.isatty()
    progress.show(_lines(sys.stderr, terminal), progress.FIRST if terminal else None)


def _lines(stream, terminal):
    """A function that writes how far a verb is; on a terminal in place of what it wrote before."""
    above = ""

    def line(text):
        nonlocal above
        stream.write(f"{above}  {text}\n")
        stream.flush()
        above = "\x1b[1A\x1b[2K" if terminal else ""

    return line


@main.command()
@click.argument("name")
@click.option(
    "--images", "folder", required=True, type=click.Path(path_type=Path), help="A folder."
)
@click.option(
    "--backbone",
    "backbones",
    required=True,
    multiple=True,
    help="LOADER:MODEL, such as timm:vit_base_patch16_224.mae; several times for several.",
)
@click.option("--layer", type=int, help="The block, counted from 0. Default: each one's last.")
@click.option("--random", is_flag=True, help="Random weights, for a try without any download.")
@click.option("--output", type=click.Path(path_type=Path), help="Default: NAME.yaml.")
def new(name, folder, backbones, layer, random, output):
    """Write the config of a study of your own images."""
    from visae.command.new import write_study

    path = output or Path(f"{name}.yaml")
    click.echo(write_study(path, name, folder, backbones, layer, random))


@main.command()
@click.argument("configs", nargs=-1, required=True, type=CONFIG)
def check(configs):
    """Say everything that is wrong with a config, before anything runs.

    Several files are merged as `--configfile` merges them.
    """
    from visae.command.check import problems

    found = problems(configs)
    for problem in found:
        click.echo(f"✗ {problem}", err=True)
    if found:
        sys.exit(1)
    click.echo(f"{' + '.join(map(str, configs))}: nothing is wrong")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("config", type=CONFIG)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--profile", default="local", show_default=True, help="A folder, or local or slurm.")
def run(config, arguments, profile):
    """Run a study: one line per job, a bar with the time left, the whole log in a file.

    ARGUMENTS go to Snakemake: targets (after `--`) and options, such as -n.
    """
    from visae.command.run import command_of, run_study

    sys.exit(run_study(command_of(config, arguments, profile), config))


@main.command("evaluate-sae")
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--config", required=True, type=CONFIG, help="The study beside whose SAEs it is put.")
@click.option("--backbone", required=True, help="The config's backbone that it was trained on.")
@click.option("--layer", type=int, help="The block. Default: the backbone's.")
@click.option("--input", "inputs", help="What the SAE expects, where its files do not say: raw …")
@click.option(
    "--reading",
    metavar="KEY=VALUE",
    multiple=True,
    help="What else they leave open: library, threshold … (docs/published_saes.md). Repeatable.",
)
@click.option("--family", help="Where its files do not say: batchtopk, topk, jumprelu, relu.")
@click.option("--k", type=click.FloatRange(min=0, min_open=True), help="Active features per token.")
@click.option(
    "--dry-run", "-n", is_flag=True, help="Write the config, and only say what would run."
)
def evaluate_sae(folder, config, backbone, layer, inputs, reading, family, k, dry_run):
    """Score an SAE that was trained elsewhere, from the folder that its library wrote."""
    from visae.command.evaluate import read_options, with_sae
    from visae.command.run import command_of, run_study

    said = read_options(reading) | ({"input": inputs} if inputs else {})
    path, target = with_sae(folder, config, backbone, layer, said, family, k)
    arguments = [*(["-n"] if dry_run else []), "--", target]
    sys.exit(run_study(command_of(path, arguments, "local"), path))


@main.command()
@click.argument("sae")
@click.argument("feature", type=click.IntRange(min=0))
@click.option(
    "--study",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Its results. Default: the one study below results/ that has the SAE.",
)
@click.option("--profile", default="local", show_default=True, help="As for `visae run`.")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
def look(sae, feature, folder, profile, opens):
    """Print where the page of a feature lies, which shows the images that it responds to.

    SAE is {backbone}/layer{layer}/{sae}, as the study has it. Where no page shows the FEATURE on
    images, the page is made, with it and with all that were looked at before.
    """
    from visae.command.look import page_of

    address = page_of(sae, feature, folder, profile)
    click.echo(address)
    if opens:
        click.launch(address)
