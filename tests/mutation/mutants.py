"""Small faults put into the library one at a time: do its tests see each of them?

    python tests/mutation/mutants.py                  # 40 mutants of each group, the planted ones
    python tests/mutation/mutants.py --seed 2 --of claims --number 100

Mutants are made from the syntax tree, those of `planted.yaml` by hand. Each is written into a copy
of the repository. The tests that call its function run there, the quick ones first, up to the first
failure. It is killed when a test fails or takes far longer than before. Those of `equivalent.yaml`
change no behaviour and do not count. docs/faults.md says what was found.

One process collects all tests and forks for each mutant, which takes the place of its function's
code. What is run when modules are imported, or compiled, needs a fork that collects again.

Why not a library: mutmut 3 puts trampolines into functions, which numba cannot compile and hashes
of code see. cosmic-ray starts an interpreter per mutant, whose imports take longer than the tests.
Neither exchanges training for test images.
"""

import argparse
import ast
import contextlib
import fnmatch
import functools
import gc
import itertools
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIBRARY = Path("workflow_scripts/visae")


class Group(NamedTuple):
    """Modules below `LIBRARY`, and tests below `tests/` that should see faults in them."""

    modules: tuple
    tests: tuple
    """Folders whole, so that a new file of tests counts."""
    without: tuple = ()
    """Files of tests that cost too much for what they alone could see."""


GROUPS = {
    "metrics": Group(
        ("evals/*/compute.py", "evals/*/heads.py", "evals/signed.py", "evals/sparse_codes.py",
         "evals/results.py", "evals/inputs.py"),
        ("evals",),
    ),
    "statistics": Group(("tables/*.py", "base/equal.py"), ("tables", "base/test_equal.py")),
    "probes": Group(("probing/*.py",), ("probing", "evals")),
    "kernels": Group(
        ("encoding/*.py",),
        ("encoding", "evals/test_numbers.py", "evals/test_localization.py",
         "evals/test_monosemanticity.py", "sae/exchange/test_scored.py", "sae/test_screen.py",
         "sae/test_screen_halves.py"),
    ),
    "training": Group(
        ("sae/*.py", "sae/families/*/trainer.py"),
        ("sae", "evals/test_numbers.py"),
        ("sae/test_peers.py", "sae/exchange/test_libraries.py", "sae/exchange/test_foreign.py"),
    ),
    "caches": Group(("activations/*.py",), ("activations", "encoding/test_encoding.py")),
    "claims": Group(("claims/*.py",), ("claims",)),
    "study": Group(("study/*.py",), ("study", "plan/test_feasible.py")),
}  # fmt: skip
NO_TEST_OF_FAULTS = "tests/sae/test_adam.py::test_training_does_not_import_the_compiler"

LIBRARIES = (
    "numpy", "scipy.optimize", "scipy.sparse", "scipy.stats", "scipy.linalg", "torch", "h5py",
    "numba", "pandas", "sklearn.linear_model", "sklearn.metrics", "sklearn.feature_selection",
    "statsmodels.formula.api", "statsmodels.stats.anova", "hypothesis", "hypothesis.extra.numpy",
    "beartype", "jaxtyping", "safetensors.torch", "matplotlib.pyplot", "PIL.Image", "pytest",
    "_hypothesis_pytestplugin", "torch._dynamo", "esda", "libpysal.weights", "timm",
    "snakemake.api",
)  # fmt: skip
"""Imported once. One that is not installed is passed over."""

# Headings and digits of tables, and lines of a log, are for eyes.
# A loss of speed is no fault that a test should see; nor is what only a GPU would do otherwise.
SPEED = (
    "_BLOCK",
    "BYTES",
    "_BATCH",
    "_CACHED",
    "_EIGENVECTORS",
    "_MAGNIFIED",
    "feature_block",
    "screened_block",
)
KEYWORDS_OF_NO_EFFECT = {
    "strict", "encoding", "newline", "nogil", "cache", "device", "threads", "processes", "workers",
    "pinned", "non_blocking", "overwrite_a", "chunks", "daemon", "exist_ok", "sorted", "parallel",
}  # fmt: skip
UNSEEN_CALLS = {
    "Column", "report", "warning", "info", "debug", "warn", "_as_tensor", "errstate",
}  # fmt: skip
SYMMETRIC = {
    "zip", "isinstance", "cast", "submit", "partial", "min", "max", "minimum", "maximum", "equal",
    "same", "isclose", "allclose", "array_equal", "union1d", "intersect1d", "vdot",
}  # fmt: skip
"""Functions of which two arguments may change places, or make no sense if they do."""

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.MatMult: ast.Mult,
}  # fmt: skip
TWINS = (
    ("min", "max"), ("minimum", "maximum"), ("amin", "amax"), ("any", "all"), ("sum", "mean"),
    ("floor", "ceil"), ("argmin", "argmax"), ("zeros", "ones"), ("zeros_like", "ones_like"),
    ("union1d", "intersect1d"), ("nanmean", "nansum"), ("log", "log2"), ("exp", "expm1"),
)  # fmt: skip
EXCHANGED = (
    ("train", "test"), ("raw", "recon"), ("low", "high"), ("mean", "std"), ("left", "right"),
    ("first", "second"), ("start", "stop"), ("one", "four"), ("within", "between"),
    ("scores", "features"), ("weight", "bias"), ("fitted", "scored"), ("alpha", "beta"),
    ("backbone", "configuration"), ("labels", "codes"), ("x", "y"),
)  # fmt: skip
"""Words in names, of which one may stand where the other should."""
ROUNDING = 1e-9
"""What is smaller keeps rounding apart from differences, and may be twice as large."""
MASKS = ("mask", "held_out", "train", "test", "scored", "live", "evaluable", "present", "chosen")
SIDES = {"left": "right", "right": "left"}


class Mutant(NamedTuple):
    """One fault."""

    module: str
    """Below `LIBRARY`."""
    function: str | None
    """Qualified name of the outermost function around it; None: run at import, or compiled."""
    line: int
    kind: str
    was: str
    """The first line that changes, without indentation."""
    becomes: str
    source: str
    """The whole module."""

    def __str__(self):
        return f"{self.module}:{self.line} {self.kind}\n    - {self.was}\n    + {self.becomes}"

    @property
    def key(self):
        return self.module, self.was, self.becomes


# ---------------------------------------------------------------- making


class Maker(ast.NodeVisitor):
    """Collects the (node, kind, text in its place) of a module."""

    def __init__(self, source):
        self.found, self.functions = [], []
        # What makes instructions is run while kernels are compiled.
        self.classes, self.function, self.compiled = [], None, "@intrinsic" in source
        tree = ast.parse(source)
        self.names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        self.names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        self.visit(tree)

    def put(self, node, kind, new):
        text = new if isinstance(new, str) else ast.unparse(new)
        self.found.append((self.function, node, kind, text))

    def changed(self, node, kind, **fields):
        """`node` with other fields."""
        copy = type(node)(**{name: fields.get(name, getattr(node, name)) for name in node._fields})
        # Brackets keep the order of evaluation in what stands around it.
        self.put(node, kind, f"({ast.unparse(ast.fix_missing_locations(copy))})")

    # What has no behaviour.

    def visit_Raise(self, node):
        pass

    visit_Assert = visit_Import = visit_ImportFrom = visit_JoinedStr = visit_Raise
    visit_Global = visit_Nonlocal = visit_Raise

    def visit_AnnAssign(self, node):
        if node.value:
            self.visit(node.value)

    def visit_FunctionDef(self, node):
        if node.name in ("__repr__", "__str__"):
            return
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        decorators = " ".join(map(ast.unparse, node.decorator_list))
        around = self.compiled
        self.compiled = around or "jit" in decorators or "intrinsic" in decorators
        outermost = self.function is None and not self.compiled
        if outermost:
            self.function = ".".join([*self.classes, node.name])
            self.functions.append((node, self.function))
        for statement in node.body:
            self.visit(statement)
        if outermost:
            self.function = None
        self.compiled = around

    def visit_ClassDef(self, node):
        self.classes.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self.classes.pop()

    def visit_Lambda(self, node):
        self.visit(node.body)

    def visit_If(self, node):
        if "TYPE_CHECKING" in ast.unparse(node.test):
            return
        self.put(node.test, "condition negated", f"not ({ast.unparse(node.test)})")
        if all(isinstance(each, ast.Raise) for each in node.body) and not node.orelse:
            self.put(node.body[0], "guard removed", "pass")
        self.generic_visit(node)

    def visit_IfExp(self, node):
        self.put(node.test, "condition negated", f"not ({ast.unparse(node.test)})")
        self.generic_visit(node)

    # Statements.

    def visit_Assign(self, node):
        text = ast.unparse(node)
        if any(word in text for word in SPEED) or text.startswith("__all__"):
            return
        self.visit(node.value)
        for target in node.targets:
            if isinstance(target, ast.Subscript):
                self.put(node, "statement removed", "pass")
                self.visit(target.slice)

    def visit_AugAssign(self, node):
        self.put(node, "statement removed", "pass")
        operator = ARITHMETIC.get(type(node.op))
        if operator:
            copy = ast.AugAssign(node.target, operator(), node.value)
            self.put(node, "arithmetic", copy)
        self.visit(node.value)

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Call):
            function = ast.unparse(node.value.func)
            if function.split(".")[-1] in UNSEEN_CALLS or function.startswith("logger"):
                return
            self.put(node, "statement removed", "pass")
        self.generic_visit(node)

    def visit_Break(self, node):
        self.put(node, "statement removed", "pass")

    visit_Continue = visit_Break

    # Expressions.

    def visit_Compare(self, node):
        operator = COMPARISONS[type(node.ops[0])]
        self.changed(node, "comparison", ops=[operator(), *node.ops[1:]])
        self.generic_visit(node)

    def visit_BinOp(self, node):
        words = [each for each in (node.left, node.right) if isinstance(each, ast.JoinedStr)]
        words += [each for each in (node.left, node.right) if _is_text(each)]
        operator = ARITHMETIC.get(type(node.op))
        if operator and not words:
            self.changed(node, "arithmetic", op=operator())
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.changed(node, "boolean", op=other)
        for i in range(len(node.values)):
            rest = [*node.values[:i], *node.values[i + 1 :]]
            copy = rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
            self.put(node, "part of a condition removed", f"({ast.unparse(copy)})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        kinds = {ast.Invert: "~ dropped", ast.Not: "negation dropped", ast.USub: "sign"}
        if type(node.op) in kinds:
            self.put(node, kinds[type(node.op)], f"({ast.unparse(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node):
        value = node.value
        if isinstance(value, bool):
            self.put(node, "constant", str(not value))
        elif isinstance(value, int):
            self.put(node, "off by one", str(value + 1))
            if value > 0:
                self.put(node, "off by one", f"({value - 1})")
        elif isinstance(value, float) and not 0 < value < ROUNDING:
            self.put(node, "constant", str(2 * value if value else 0.1))
        elif value in SIDES:
            self.put(node, "side", repr(SIDES[value]))

    def visit_Name(self, node):
        if not isinstance(node.ctx, ast.Load):
            return
        for pair in EXCHANGED:
            for one, other in (pair, pair[::-1]):
                parts = node.id.split("_")
                if one in parts:
                    twin = "_".join(other if part == one else part for part in parts)
                    if twin in self.names:
                        self.put(node, f"{one} for {other}", twin)

    def visit_Attribute(self, node):
        for pair in TWINS:
            for one, other in (pair, pair[::-1]):
                if node.attr == one:
                    self.changed(node, "twin", attr=other)
        self.visit(node.value)

    def visit_Call(self, node):
        function = ast.unparse(node.func).split(".")[-1]
        if function in UNSEEN_CALLS:
            return
        for one, other in TWINS[:4]:
            for name, twin in ((one, other), (other, one)):
                if isinstance(node.func, ast.Name) and node.func.id == name:
                    self.changed(node, "twin", func=ast.Name(twin))
        if len(node.args) > 1 and function not in SYMMETRIC:
            first, second = node.args[:2]
            if not any(isinstance(each, ast.Starred | ast.Constant) for each in (first, second)):
                self.changed(node, "arguments swapped", args=[second, first, *node.args[2:]])
        for keyword in node.keywords:
            if keyword.arg and keyword.arg not in KEYWORDS_OF_NO_EFFECT:
                rest = [each for each in node.keywords if each is not keyword]
                self.changed(node, "argument removed", keywords=rest)
        self.visit(node.func)
        for argument in node.args:
            self.visit(argument)
        for keyword in node.keywords:
            if keyword.arg not in KEYWORDS_OF_NO_EFFECT:
                self.visit(keyword.value)

    def visit_Subscript(self, node):
        mask = ast.unparse(node.slice)
        if isinstance(node.ctx, ast.Load) and any(word in mask for word in MASKS):
            self.put(node, "mask dropped", f"({ast.unparse(node.value)})")
        self.generic_visit(node)

    def visit_Slice(self, node):
        if node.lower is not None:
            self.changed_slice(node, lower=ast.BinOp(node.lower, ast.Add(), ast.Constant(1)))
        if node.upper is not None:
            self.changed_slice(node, upper=ast.BinOp(node.upper, ast.Sub(), ast.Constant(1)))
        self.generic_visit(node)

    def changed_slice(self, node, **bound):
        copy = ast.Slice(bound.get("lower", node.lower), bound.get("upper", node.upper), node.step)
        self.put(node, "slice", copy)

    def visit_List(self, node):
        self._elements(node)

    def visit_Dict(self, node):
        for i in range(len(node.keys)):
            if len(node.keys) > 1:
                self.changed(
                    node,
                    "entry removed",
                    keys=[*node.keys[:i], *node.keys[i + 1 :]],
                    values=[*node.values[:i], *node.values[i + 1 :]],
                )
        for value in node.values:
            self.visit(value)

    def _elements(self, node):
        for i in range(len(node.elts)):
            if len(node.elts) > 1 and isinstance(node.ctx, ast.Load):
                self.changed(node, "entry removed", elts=[*node.elts[:i], *node.elts[i + 1 :]])
        self.generic_visit(node)


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def places_of(module):
    """The (module, function, node, kind, text) of all mutants of a module, in their order."""
    source = (ROOT / LIBRARY / module).read_text("utf-8")
    return [(module, *found) for found in Maker(source).found]


def made(module, function, node, kind, text):
    """The mutant of a place; None where the text is the same program, or none."""
    source = (ROOT / LIBRARY / module).read_text("utf-8")
    content = source.encode()
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    begin = starts[node.lineno - 1] + node.col_offset
    end = starts[node.end_lineno - 1] + node.end_col_offset
    changed = (content[:begin] + text.encode() + content[end:]).decode()
    try:
        if ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source)):
            return None
    except SyntaxError:
        return None
    return _mutant(module, function, kind, source, changed)


def _mutant(module, function, kind, source, changed):
    lines = zip(source.splitlines(), changed.splitlines(), strict=False)
    number, (was, becomes) = next(
        (number, pair) for number, pair in enumerate(lines, 1) if pair[0] != pair[1]
    )
    return Mutant(module, function, number, kind, was.strip(), becomes.strip(), changed)


def planted():
    """The mutants of `planted.yaml`, whose text must occur once in its module."""
    for fault in yaml.safe_load((HERE / "planted.yaml").read_text("utf-8")):
        source = (ROOT / LIBRARY / fault["module"]).read_text("utf-8")
        if source.count(fault["was"]) != 1:
            raise SystemExit(f"planted.yaml: {fault['module']} has not once: {fault['was']}")
        changed = source.replace(fault["was"], fault["becomes"])
        begin = source[: source.index(fault["was"])].count("\n") + 1
        function = _function_at(source, begin)
        yield _mutant(fault["module"], function, fault["kind"], source, changed)


def again(log):
    """The mutants that survived by the log of an earlier run, where their lines are still there."""
    lines = Path(log).read_text("utf-8").splitlines()
    keys = set()
    for first, was, becomes in zip(lines, lines[1:], lines[2:], strict=False):
        if first.startswith("SURVIVED"):
            module = next(word for word in first.split() if ".py:" in word).partition(":")[0]
            keys.add((module, was.strip()[2:], becomes.strip()[2:]))
    places = (place for module in sorted({key[0] for key in keys}) for place in places_of(module))
    mutants = [*itertools.starmap(made, places), *planted()]
    return [mutant for mutant in mutants if mutant and mutant.key in keys]


def group_of(module):
    """The group of a module, or of its package."""
    for name, group in GROUPS.items():
        packages = {pattern.partition("/")[0] for pattern in group.modules}
        if module.partition("/")[0] in packages - {"base"} or module in group.modules:
            return name
    raise SystemExit(f"{module} is in no group")


def _function_at(source, line):
    """The outermost function whose body is on a line, as `Mutant.function`."""
    maker = Maker(source)
    for node, name in maker.functions:
        if node.body[0].lineno <= line <= node.end_lineno:
            return name
    return None


def chosen(group, number, seed, only):
    """`number` random mutants of a group."""
    modules = sorted(
        str(path.relative_to(ROOT / LIBRARY))
        for pattern in GROUPS[group].modules
        for path in (ROOT / LIBRARY).glob(pattern)
    )
    modules = [module for module in modules if fnmatch.fnmatch(module, only)]
    places = [place for module in modules for place in places_of(module)]
    random.Random(f"{seed} {group}").shuffle(places)
    mutants = filter(None, (made(*place) for place in places))
    return list(itertools.islice(mutants, number))


# ---------------------------------------------------------------- running


def in_fork(work, log, limit):
    """What `work()` returns (JSON) in a fork with `log` as its output; None where it does not.

    limit: seconds of CPU; of another clock, twenty times as many.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
        if log:
            with open(log, "w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
        with os.fdopen(writing, "w") as answer:
            json.dump(work(), answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read() if select.select([answer], [], [], 20 * limit)[0] else ""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return json.loads(text) if text else None


class Calls:
    """A pytest plugin: which functions of the library each test calls, and how long it takes.

    What fixtures of a wider scope call counts for all tests of their file.
    """

    def __init__(self, library):
        self.library, self.of, self.seconds = str(library), {}, {}
        self.own, self.now, self.names = set(), set(), {}

    def start(self, item):
        """Count for a test from now on."""
        self.own = self.now = self.of.setdefault(item.nodeid, set())

    def __call__(self, frame, event, _):
        """A trace function: sees each call of a Python function, and none of its lines."""
        name = self.names.get(frame.f_code, "")
        if name == "":
            name = self.names[frame.f_code] = self.name(frame.f_code)
        if name is not None:
            self.now.add(name)

    def name(self, code):
        """(module, qualified name of the outermost function) of code; None of other code."""
        if not code.co_filename.startswith(self.library):
            return None
        function = code.co_qualname.partition(".<locals>")[0]
        return code.co_filename[len(self.library) + 1 :], function

    def pytest_fixture_setup(self, fixturedef, request):
        if fixturedef.scope != "function":
            file = request.node.nodeid.partition("::")[0]
            self.now = self.of.setdefault(file, set())

    def pytest_fixture_post_finalizer(self):
        self.now = self.own

    def pytest_runtest_call(self):
        self.now = self.own


class Runner:
    """A pytest plugin that, in the place of the tests, puts mutants to the tests one by one."""

    def __init__(self, copy, log, group, mutants, say):
        self.copy, self.log, self.group, self.mutants, self.say = copy, log, group, mutants, say
        self.alive = []

    def pytest_runtestloop(self, session):
        import visae

        assert Path(visae.__file__).is_relative_to(self.copy), visae.__file__
        if session.testsfailed:
            raise session.Failed("tests cannot be collected")
        gc.freeze()
        found = in_fork(lambda: self.measured(session), self.log, 3600)
        if found is None:
            self.say(Path(self.log).read_text()[-3000:])
            raise session.Failed("the tests did not end")
        failed, calls, seconds = found
        if failed:
            self.say(f"left out, as they fail without a fault: {', '.join(failed)}")
        items = [item for item in session.items if item.nodeid not in failed]
        items.sort(key=lambda item: seconds[item.nodeid])
        called = {test: set(map(tuple, pairs)) for test, pairs in calls.items()}
        for mutant in self.mutants:
            chosen = [item for item in items if concerns(mutant, item.nodeid, called)]
            begun = time.monotonic()
            limit = 30 + 5 * sum(seconds[item.nodeid] for item in chosen)
            with written(self.copy, mutant):
                alive = self.survives(session, mutant, chosen, limit)
            self.alive.append(alive)
            self.say(
                f"{'SURVIVED' if alive else 'killed'} {time.monotonic() - begun:.1f} s, "
                f"{len(chosen)} tests, {self.group} {mutant}"
            )
        return True

    def measured(self, session):
        """[tests that fail, {test or file: what it calls}, {test: seconds}] without a fault."""
        calls = Calls(self.copy / LIBRARY)
        session.config.pluginmanager.register(calls)
        failed = []
        threading.settrace(calls)
        for item, following in itertools.zip_longest(session.items, session.items[1:]):
            calls.start(item)
            before, begun = session.testsfailed, time.process_time()
            sys.settrace(calls)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            sys.settrace(None)
            calls.seconds[item.nodeid] = time.process_time() - begun
            if session.testsfailed > before:
                failed.append(item.nodeid)
        return [failed, {test: sorted(pairs) for test, pairs in calls.of.items()}, calls.seconds]

    def survives(self, session, mutant, items, limit):
        """Whether all of the tests pass with a mutant."""
        if mutant.function is None:
            return in_fork(lambda: self.collected_again(items), self.log, limit) == 0

        def run():
            put_in_place(self.copy / LIBRARY / mutant.module, mutant)
            for item, following in itertools.zip_longest(items, items[1:]):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    break
            return session.testsfailed

        return in_fork(run, self.log, limit) == 0

    def collected_again(self, items):
        """The exit code of pytest on the tests, with the library and all tests imported anew."""
        import pytest

        for name in list(sys.modules):
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(str(self.copy)) or name.startswith("visae"):
                del sys.modules[name]
        sys.meta_path[:] = [f for f in sys.meta_path if type(f).__module__ != "checked_shapes"]
        files = dict.fromkeys(item.nodeid.partition("::")[0] for item in items)
        return int(pytest.main([*OPTIONS, "-x", *files])) if files else 0


OPTIONS = ("-q", "-s", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist",
           "--hypothesis-seed=0", f"--deselect={NO_TEST_OF_FAULTS}")  # fmt: skip


def concerns(mutant, test, called):
    """Whether a test calls the function of a mutant.

    Of one that is run at import, or compiled: any function of its module or of one that imports it.
    """
    pairs = called.get(test, set()) | called.get(test.partition("::")[0], set())
    if mutant.function is None:
        return any(module in importing(mutant.module) for module, _ in pairs)
    return (mutant.module, mutant.function) in pairs


@functools.cache
def importing(module):
    """The module and those that import it."""
    name = "visae." + module.removesuffix(".py").replace("/", ".")
    parent, _, last = name.rpartition(".")
    found = {module}
    for path in (ROOT / LIBRARY).rglob("*.py"):
        text = path.read_text("utf-8")
        if f"from {name} import" in text or f"from {parent} import {last}" in text:
            found.add(str(path.relative_to(ROOT / LIBRARY)))
    return found


def put_in_place(path, mutant):
    """Let the functions of the module at `path` that are in memory run the mutant's code."""
    todo, new = [compile(mutant.source, str(path), "exec")], {}
    while todo:
        for constant in todo.pop().co_consts:
            if isinstance(constant, types.CodeType):
                new[constant.co_qualname] = constant
                todo.append(constant)
    gc.unfreeze()
    for thing in gc.get_objects():
        if type(thing) is types.FunctionType:
            code = thing.__code__
            if (code.co_filename, code.co_qualname) == (str(path), mutant.function):
                thing.__code__ = new[mutant.function]


@contextlib.contextmanager
def written(copy, mutant):
    """The mutant's text in its module's file, and afterwards the old one with its kernels."""
    path = copy / LIBRARY / mutant.module
    kept, times = path.read_bytes(), path.stat()
    kernels = {file: file.read_bytes() for file in path.parent.glob("__pycache__/*.nb[ic]")}
    path.write_text(mutant.source, "utf-8")
    try:
        yield
    finally:
        path.write_bytes(kept)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        for file, content in kernels.items():
            if file.read_bytes() != content:
                file.write_bytes(content)


def copy_of_repository(folder):
    """A copy of what git would see, without compiled files."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    if (ROOT / ".venv").exists():
        (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


def run(copy, group, mutants):
    """[whether it survives, of each mutant of a group]; a line about each is printed."""
    import pytest

    screen = os.fdopen(os.dup(1), "w")
    runner = Runner(copy, copy.parent / "log", group, mutants,
                    lambda line: print(line, file=screen, flush=True))  # fmt: skip
    os.chdir(copy)
    os.dup2(os.open(copy.parent / "pytest", os.O_WRONLY | os.O_CREAT), 1)
    where = [f"tests/{name}" for name in GROUPS[group].tests]
    without = [f"--ignore=tests/{name}" for name in GROUPS[group].without]
    pytest.main([*OPTIONS, *where, *without], plugins=[runner])
    return runner.alive


def main():
    """Make, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--number", type=int, default=40, help="mutants per group")
    parser.add_argument("--of", nargs="*", default=list(GROUPS), choices=GROUPS)
    parser.add_argument("--only", default="*", help="pattern of modules, as evals/*/compute.py")
    parser.add_argument("--no-planted", action="store_true", help="only those that are drawn")
    parser.add_argument("--again", help="log of a run: only what survived there")
    parser.add_argument("--list", action="store_true", help="print the mutants and run none")
    arguments = parser.parse_args()
    by_hand = [] if arguments.no_planted else planted()
    by_hand = [mutant for mutant in by_hand if fnmatch.fnmatch(mutant.module, arguments.only)]
    mutants = [
        (group, mutant)
        for group in arguments.of
        for mutant in [
            *(mutant for mutant in by_hand if group_of(mutant.module) == group),
            *chosen(group, arguments.number, arguments.seed, arguments.only),
        ]
    ]
    if arguments.again:
        mutants = [(group_of(mutant.module), mutant) for mutant in again(arguments.again)]
        arguments.of = [name for name in GROUPS if name in dict(mutants)]
    equivalent = {
        (fault["module"], fault["was"], fault["becomes"])
        for fault in yaml.safe_load((HERE / "equivalent.yaml").read_text("utf-8"))
    }
    counted = [(group, mutant) for group, mutant in mutants if mutant.key not in equivalent]
    print(f"{len(mutants)} mutants, {len(mutants) - len(counted)} of them equivalent", flush=True)
    if arguments.list:
        print(*(mutant for _, mutant in counted), sep="\n")
        return
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            __import__(library)
    import hypothesis

    hypothesis.settings.register_profile("mutants", deadline=None, database=None)
    hypothesis.settings.load_profile("mutants")
    started, found = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = temporary
        copy = copy_of_repository(Path(temporary, "copy"))
        os.environ["PYTHONPATH"] = str(copy / "workflow_scripts")
        for group in arguments.of:
            own = [mutant for name, mutant in counted if name == group]
            alive = in_fork(lambda own=own, group=group: run(copy, group, own), None, 1e6)
            if alive is None or len(alive) != len(own):
                raise SystemExit(f"the tests of {group} did not run")
            found += zip([group] * len(own), own, alive, strict=True)
    numbers = Counter(group for group, _, _ in found)
    killed = Counter(group for group, _, alive in found if not alive)
    survivors = [(group, mutant) for group, mutant, alive in found if alive]
    minutes = (time.monotonic() - started) / 60
    print(f"\nSurvivors:\n{chr(10).join(str(mutant) for _, mutant in survivors) or 'none'}\n")
    for group, number in numbers.items():
        print(f"{group}: {killed[group]} of {number} killed")
    rate = 100 * killed.total() / max(numbers.total(), 1)
    print(f"{killed.total()} of {numbers.total()} killed, {rate:.1f} %, in {minutes:.0f} minutes")


if __name__ == "__main__":
    main()
