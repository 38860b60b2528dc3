"""Pages that are written from what owns their content: schema, shelves, commands, docstrings."""

import json
import re
from pathlib import Path

import click
import yaml

from visae.command.main import main as command
from visae.evals.entry import SAES, defaults
from visae.evals.shelf import EVALS, metrics
from visae.products import PRODUCTS
from visae.study.config import load_schema

DOCS = Path(__file__).resolve().parents[1]
PROTOCOL = "protocol.md"


def pages():
    """{path of a page in the site: its Markdown}."""
    return {
        "metrics/index.md": _metrics(),
        **{f"metrics/{name}.md": f"# {EVALS[name].title}\n" for name in metrics()},
        "reference/config.md": _config(),
        "reference/command.md": _command(),
        "reference/api.md": _api(),
        "reference/products.md": _products(),
        **{name: _notebook(DOCS / name) for name in notebook_names()},
    }


# -------------------------------------------------------------------- notebooks


def notebook_names():
    """The pages of the notebooks."""
    return [f"notebooks/{path.stem}.md" for path in sorted(DOCS.glob("notebooks/*.ipynb"))]


def _notebook(page):
    """What a notebook says and runs; its outputs are those of whoever runs it."""
    path = page.with_suffix(".ipynb")
    parts = []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    parts.insert(1, f"[The notebook]({path.name}) runs on the demo's results.")
    return "\n\n".join(parts) + "\n"


# -------------------------------------------------------------------- metrics


def metric_page(name, written):
    """The page of a metric: what its entry says stands after the title, then what is `written`."""
    entry = EVALS[name]
    title, _, rest = written.partition("\n")
    needs = entry.of[SAES]
    facts = {
        "Better": "higher" if entry.higher_is_better else "lower",
        "In the paper": entry.paper or "no",
        "Needs labels": "yes" if entry.labels else "no",
        "Reads": ", ".join(f"`{read}`" for read in needs.reads),
        "In config and tables": f"`{name}`",
    }
    parts = [
        title,
        f'<p class="definition" markdown>{_sentence(entry.definition, entry)}</p>',
        "| | |\n|---|---|\n" + "".join(f"| {key} | {value} |\n" for key, value in facts.items()),
        rest.strip(),
        f"## To the letter\n\n{protocol_of(name)}\n\n[{PROTOCOL}](../{PROTOCOL}) has the rest.",
    ]
    if entry.as_run:
        warning = f" Beware: {entry.as_run.warning}." if entry.as_run.warning else ""
        parts.append(
            "## As the paper's public code computes it\n\n"
            f"{_sentence(entry.as_run.definition, entry)}{warning} It is the reading `as_run`; "
            "[as_run.md](../as_run.md) compares the two."
        )
    if entry.settings:
        keys = "\n\n".join(
            _key(f"metrics.{name}.{key}", schema, {}) for key, schema in entry.settings.items()
        )
        parts.append(f"## Settings\n\n{keys}")
    return "\n\n".join(parts) + "\n"


def protocol_of(name):
    """What docs/protocol.md says of a metric: its item of the list, without the name."""
    text = (DOCS / PROTOCOL).read_text("utf-8")
    found = re.search(
        rf"^- \*\*M\d+ `{name}`\.\*\* (.*?)(?=^- \*\*M\d|^\S)", text, re.MULTILINE | re.DOTALL
    )
    return re.sub(r"^  ", "", found[1], flags=re.MULTILINE).strip() if found else ""


def _sentence(definition, entry):
    """A definition as a sentence, with settings' defaults, or names, in the place of braces."""
    known = {key: value for key, value in defaults(entry.settings).items() if _is_plain(value)}
    text = re.sub(
        r"\{(\w+)\}", lambda f: str(known.get(f[1], f"*{f[1].replace('_', ' ')}*")), definition
    )
    return f"{text[0].upper()}{text[1:]}."


def _is_plain(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _metrics():
    return (
        "# The metrics\n\nEach metric is one number for an SAE, with further readings beside it. "
        "[From an image to a score](../concepts.md) says what each is after.\n\n"
        "<!-- README.md: The seven metrics -->\n"
    )


# -------------------------------------------------------------------- config


def _config():
    schema = load_schema()
    parts = [
        "# The config",
        f"{schema['description']} Keys are written with dots: `training.epochs` is `epochs` below "
        "`training`. What stands in ‹ › is a name of your own.",
    ]
    for name, section in schema["properties"].items():
        nested = _keys(name, section, schema)
        parts.append(f"## {name}\n\n" + "\n\n".join([_key(name, section, schema), *nested]))
    return "\n\n".join(parts) + "\n"


def _keys(path, schema, root):
    """The entries of all that stands below a key, depth first."""
    schema = _resolved(schema, root)
    found = []
    for name, below in schema.get("properties", {}).items():
        required = name in schema.get("required", [])
        key = f"{path}.{name}"
        found += [_key(key, below, root, required), *_keys(key, below, root)]
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        found += _keys(f"{path}.‹name›", others, root)
    if isinstance(schema.get("items"), dict):
        found += _keys(f"{path}[]", schema["items"], root)
    return found


def _key(path, schema, root, required=False):
    """A key with its kind, default and description, as an item of a definition list."""
    schema = _resolved(schema, root)
    facts = [_kind(schema, root)]
    if "default" in schema and not (schema["default"] == {} and "properties" in schema):
        facts.append(f"default `{_written(schema['default'])}`")
    elif required:
        facts.append("must be given")
    description = re.sub(
        r"docs/(\w+)\.md", r"[\1.md](../\1.md)", schema.get("description", "").replace("<", "&lt;")
    )
    return f"`{path}` · {' · '.join(filter(None, facts))}\n:   {description}"


def _kind(schema, root):
    """What may stand at a key, in a few words."""
    if "enum" in schema:
        return " or ".join(f"`{_written(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{_written(schema['const'])}`"
    if "anyOf" in schema:
        return " or ".join(_kind(_resolved(one, root), root) for one in schema["anyOf"])
    types = schema.get("type", [])
    names = {"object": "mapping", "array": "list", "string": "text"}
    text = " or ".join(names.get(t, t) for t in ([types] if isinstance(types, str) else types))
    if schema.get("format") == "path":
        text = text.replace("text", "path")
    bounds = [
        f"{sign} {schema[key]:g}"
        for key, sign in (
            ("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")
        )
        if key in schema
    ]  # fmt: skip
    if isinstance(items := schema.get("items"), dict):
        inner = _kind(_resolved(items, root), root)
        text += f" of {inner}" if inner else ""
    return " ".join([text, ", ".join(bounds)]).strip()


def _written(value):
    if isinstance(value, str):
        return value
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def _resolved(schema, root):
    if "$ref" not in schema:
        return schema
    *_, name = schema["$ref"].split("/")
    return {**root["$defs"][name], **{k: v for k, v in schema.items() if k != "$ref"}}


# -------------------------------------------------------------------- command, library, products


def _command():
    parts = ["# The verbs of `visae`", _paragraphs(command.help)]
    for name, verb in command.commands.items():
        context = click.Context(verb, info_name=f"visae {name}")
        usage = " ".join(verb.collect_usage_pieces(context))
        options = [_option(o, context) for o in verb.params if isinstance(o, click.Option)]
        parts += [
            f"## visae {name}",
            f"```\nvisae {name} {usage}\n```",
            _paragraphs(verb.help),
            *options,
        ]
    return "\n\n".join(parts) + "\n"


def _option(option, context):
    name = ", ".join(option.opts)
    if not option.is_flag:
        name += f" {option.make_metavar(context)}"
    fact = "must be given" if option.required else ""
    if option.show_default:
        fact = f"default `{option.default}`"
    return f"`{name}`{' · ' + fact if fact else ''}\n:   {option.help}"


def _paragraphs(text):
    return "\n\n".join(" ".join(p.split()) for p in text.split("\n\n"))


def _api():
    return (
        "# The library\n\n"
        "`visae.open_study` is where everything begins; [A study from Python](../python.md) shows "
        "what follows. F is the number of features, N of images, P of patches of an image (H × W), "
        "D the width of the backbone.\n\n"
        "::: visae.open_study\n\n"
        "::: visae.interface.study.OpenStudy\n\n"
        "::: visae.interface.sae.OpenSae\n\n"
        "::: visae.interface.sae.Exemplar\n\n"
        "::: visae.base.errors.UserError\n"
    )


def _products():
    parts = [
        "# Tables and figures",
        "Each is a target of Snakemake by its name. The report says what a study lacks for one. "
        "[Add one of your own](../extending.md#a-table-or-a-figure).",
    ]
    for kind in ("table", "figure"):
        rows = [
            f"| `{name}` | {PRODUCTS[name].shows} |"
            for name in PRODUCTS
            if PRODUCTS[name].kind == kind
        ]
        parts.append(
            f"## {kind.capitalize()}s\n\n| name | what it shows |\n|---|---|\n" + "\n".join(rows)
        )
    return "\n\n".join(parts) + "\n"
