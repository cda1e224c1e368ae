"""Imports point downward, and each heavy dependency lives in one place."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lrsearch"

#: Lowest first. A module imports from lower lines only; a package also from itself.
LAYERS = [
    {"errors", "shapes", "muon", "confirm_words"},
    {"rungs", "versions", "audit", "advice", "remarks"},
    {"range_tests"},
    {"ranges", "plateau"},
    {"units", "limits"},
    {"optimizers", "schedules"},
    {"third_party"},
    {"lookup"},
    {"legality", "parameters", "schedulers", "presets"},
    {"recipe", "space"},
    {"space_file", "earlier", "spec_parts"},
    {"spec", "textbook"},
    {"shares"},
    {
        "task",
        "values",
        "range_plan",
        "wanted",
        "preview",
        "edges",
        "confirm_stats",
        "basin",
    },
    {"candidates", "confirm_plan"},
    {"storage", "training"},
    {"study"},
    {"telemetry", "checkpoint_files", "stop"},
    {"checkpoints"},
    {"keeper"},
    {"confirm_summary"},
    {"confirm", "desk"},
    {"seat"},
    {"trial_work", "confirm_work", "range_work", "shift", "fusing"},
    {"worker", "cost", "lint", "one_trial", "fleet"},
    {"repair"},
    {"preflight"},
    {"review"},
    {"report", "export", "summary", "progress"},
    {"launch"},
    {"origin", "range_answer"},
    {"answer", "api"},
    {"cli"},
    {"__main__"},
]
#: Modules and packages that may import a library; whoever wants what it does calls them.
HOMES = {
    "optuna": {"study"},
    "sqlalchemy": {"storage", "study", "cli.main"},
    "alembic": {"storage"},
    "psycopg": {"storage"},
    "filelock": {"storage"},
    "fsspec": {"training"},
    "tenacity": {"storage"},
    "pydantic": {"earlier", "recipe", "spec", "spec_parts"},
    "yaml": {"recipe"},
    "click": {"cli"},
    "rich": {"progress"},
    "matplotlib": {"report"},
    "jinja2": {"report", "export"},
    "scipy": {"audit", "confirm_stats", "training.calibrated"},
    "torch": {"training", "parameters", "muon", "schedulers", "plateau", "worker", "api"},
}
#: What every function of storage takes first. A handle, no SQL: their callers hold one as well.
HANDLE = "sqlalchemy.Connection"
#: Modules that import torch inside a function, so that reading a spec does not wait for it.
LATE_TORCH = {"third_party", "launch", "preflight", "report.sequences"}

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


def within(module, places):
    """The place, itself a module or a package, that `module` is or lies in."""
    return next((place for place in places if f"{module}.".startswith(f"{place}.")), None)


def imports(node, when="top"):
    """(dotted name, "top" | "late" | "types") for every import below a node."""
    for child in ast.iter_child_nodes(node):
        inside = when
        if isinstance(child, ast.FunctionDef):
            inside = "late"
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            inside = "types"
        elif isinstance(child, ast.Import):
            yield from ((alias.name, when) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from ((f"{child.module}.{alias.name}", when) for alias in child.names)
        yield from imports(child, inside)


def imports_of(module):
    return imports(ast.parse(MODULES[module].read_text(encoding="utf-8")))


def layer(module):
    lines = [number for number, places in enumerate(LAYERS) if within(module, places)]
    assert lines, f"lrsearch.{module} is in no layer: add it to LAYERS"
    return lines[0]


def same_package(a, b):
    return a.split(".")[0] == b.split(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module):
    mine = layer(module)
    for name, _ in imports_of(module):
        if not name.startswith("lrsearch.") or name == "lrsearch.__version__":
            continue
        other = name.removeprefix("lrsearch.")
        if not same_package(module, other):
            assert layer(other) < mine, f"lrsearch.{module} imports {name}"


@pytest.mark.parametrize(
    ("module", "other"), [("training", "study"), ("study", "training"), ("storage", "training")]
)
def test_training_and_studies_know_nothing_of_each_other(module, other):
    for inside in (name for name in MODULES if within(name, [module])):
        names = [name for name, _ in imports_of(inside)]
        assert not [name for name in names if name.startswith(f"lrsearch.{other}.")]


@pytest.mark.parametrize("module", MODULES)
def test_a_library_is_imported_in_its_home_alone(module):
    for name, when in imports_of(module):
        library = name.split(".")[0]
        if library in ("lrsearch", *sys.stdlib_module_names) or when == "types" or name == HANDLE:
            continue
        assert library in HOMES, f"lrsearch.{module} imports {name}, which has no home: add it"
        homes = HOMES[library] | (LATE_TORCH if (library, when) == ("torch", "late") else set())
        assert within(module, homes), f"lrsearch.{module} imports {name}, which {homes} do"


def test_every_layer_and_home_exists():
    for place in {*set().union(*LAYERS, *HOMES.values()), *LATE_TORCH}:
        assert within(place, MODULES) or place in MODULES, place
