"""Imports point downward, and each heavy dependency lives in one place."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "lrsearch"

#: Modules and packages that may import a library; whoever wants what it does calls them.
HOMES = {
    "optuna": {"study.optuna"},
    "optuna_dashboard": {"study.optuna"},
    "sqlalchemy": {"storage", "study", "cli.main", "database_server.backup"},
    "alembic": {"storage"},
    "psycopg": {"storage"},
    "filelock": {"storage", "loggers.mlflow"},
    "fsspec": {"storage"},
    "tenacity": {"storage"},
    "pydantic": {"recipe", "spec", "user_input"},
    "yaml": {"user_input"},
    "click": {"cli"},
    "rich": {"report.live.terminal", "report.live.view"},
    "IPython": {"report.live.notebook_bar"},
    "matplotlib": {"report.plots", "api.plot"},
    "altair": {"report.figures", "report.comparison.figures", "report.page.charts"},
    "vl_convert": {"report.page.charts", "report.page.renderers"},
    "pandas": {"api.frames"},
    "jinja2": {"report.page", "report.dashboard", "export"},
    "markupsafe": {"report.page", "report.comparison.page"},
    "numpy": {
        "training.randomness",
        "training.data.generators",
        "own_loop",
        "advice",
        "transfer",
        "study.optuna",
    },
    "prometheus_client": {"report.dashboard.metrics"},
    "tensorboard": {"command.tensorboard", "loggers.tensorboard"},
    "mlflow": {"loggers.mlflow"},
    "submitit": {"launch.slurm", "launch.slurm_job"},
    "ray": {"launch.ray_cluster"},
    "wandb": {"loggers.wandb", "loggers.installed"},
    "scipy": {"training.calibrated_loss"},
    "hydra": {"hydra"},
    "omegaconf": {"hydra"},
    "lightning": {"lightning"},
    "transformers": {"transformers"},
    "torch": {
        "training",
        "doctor.probe",
        "recipe",
        "own_loop",
        "lightning",
        "transformers",
        "worker",
        "api",
    },
}
#: What every function of storage takes first. A handle, no SQL: their callers hold one as well.
HANDLE = "sqlalchemy.Connection"
#: Modules that import torch inside a function, so that reading a spec does not wait for it.
LATE_TORCH = {"catalog.third_party", "preflight.measure", "report.plots.lr_sequences"}

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}
PACKAGES = [path.parent for path in sorted(PACKAGE.rglob("__init__.py"))]


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


def test_imports_point_downward():
    """The contracts of pyproject.toml: layers, no torch in what reads, Optuna in one package."""
    # In a process of its own: it configures logging, which switches our loggers off.
    code = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout


@pytest.fixture(scope="module")
def imported():
    """(module, dotted name, when) of every import in the package."""
    return [(module, *found) for module in MODULES for found in imports_of(module)]


def test_a_library_is_imported_in_its_home_alone(imported):
    wrong = []
    for module, name, when in imported:
        library = name.split(".")[0]
        if library in ("lrsearch", *sys.stdlib_module_names) or when == "types" or name == HANDLE:
            continue
        late = LATE_TORCH if (library, when) == ("torch", "late") else set()
        if not within(module, HOMES.get(library, set()) | late):
            wrong.append(f"lrsearch.{module} imports {name}; its homes: {HOMES.get(library)}")
    assert not wrong


def test_no_module_imports_what_another_keeps_for_itself(imported):
    wrong = []
    for module, name, _ in imported:
        last = name.rsplit(".", 1)[-1]
        private = last.startswith("_") and not last.startswith("__")
        if name.startswith("lrsearch.") and private:
            wrong.append(f"lrsearch.{module} imports {name}")
    assert not wrong


def test_a_package_says_what_it_is_and_what_it_may_import():
    plain = {"lrsearch", "cli", "migrations", "versions", "plots", "text"}
    silent = []
    for folder in PACKAGES:
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        says = text is not None and "may import" in " ".join(text.split())
        if not says and (text is None or folder.name not in plain):
            silent.append(folder.name)
    assert not silent


def test_every_home_exists():
    for place in {*set().union(*HOMES.values()), *LATE_TORCH}:
        assert place in MODULES, place
