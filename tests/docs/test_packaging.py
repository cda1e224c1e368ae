"""What the package's metadata say: dependencies, extras, version, citation."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lrsearch

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def named(requirements):
    """The distributions that requirements name, with the version that each asks for."""
    parsed = [Requirement(text) for text in requirements]
    return {canonicalize_name(one.name): one.specifier for one in parsed}


def imported(folder):
    """Distributions that the modules below a folder import, wherever in a module they do it."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(str(node.module).partition(".")[0])
    # Stubs of the type checker, imported for it alone.
    names.discard("_typeshed")
    siblings = {path.stem for path in folder.glob("*.py")}
    # IPython is asked for only in a notebook, which has it; ray only for a cluster of it.
    outside = names - set(sys.stdlib_module_names) - siblings - {"lrsearch", "IPython", "ray"}
    found = packages_distributions()
    return {canonicalize_name(found[name][0]) for name in outside}


#: Extras that the package itself imports, where they are installed.
LOGGERS = ("tensorboard", "mlflow", "wandb")
ADAPTERS = (*LOGGERS, "lightning", "transformers", "hydra", "optuna-dashboard", "metrics", "slurm")
#: Hydra brings omegaconf; `trials_frame` asks for pandas.
UNDECLARED = {"omegaconf", "pandas"}


def test_the_dependencies_are_what_the_package_imports():
    extras = [text for extra in ADAPTERS for text in PROJECT["optional-dependencies"][extra]]
    needed = imported(ROOT / "lrsearch") - named(extras).keys() - UNDECLARED
    assert needed == named(PROJECT["dependencies"]).keys()


def test_the_examples_extra_is_what_the_studies_import_besides():
    examples = named(PROJECT["optional-dependencies"]["examples"]).keys()
    assert imported(ROOT / "studies") - named(PROJECT["dependencies"]).keys() == examples


@pytest.mark.parametrize("extra", ["", *PROJECT["optional-dependencies"]])
def test_the_tested_set_pins_every_dependency_at_a_version_that_is_allowed(extra):
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = named(line for line in lines if not line.startswith("#"))
    wanted = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for name, allowed in named(wanted).items():
        if name != "lrsearch":
            (version,) = pinned[name]
            assert allowed.contains(version.version), name


def test_each_python_that_is_named_is_allowed_and_this_one_is_named():
    named_pythons = [
        line.rpartition(" ")[2]
        for line in PROJECT["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    ]
    assert "{}.{}".format(*sys.version_info) in named_pythons
    assert PROJECT["requires-python"] == f">={named_pythons[0]}"


def test_the_citation_is_valid_and_names_this_version():
    path = ROOT / "CITATION.cff"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    command += ["vendor.citation-file-format", path]
    check = subprocess.run(command, capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["version"] == lrsearch.__version__
    assert PROJECT["version"] == lrsearch.__version__
