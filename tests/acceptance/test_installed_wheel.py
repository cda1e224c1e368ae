"""The wheel, built and installed as a user does: shipped studies run by name from any folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE")


def pip(*words):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of the sources: a build leaves files beside them."""
    sources = tmp_path_factory.mktemp("sources")
    without = shutil.ignore_patterns("__pycache__")
    for folder in ("lrsearch", "studies"):
        shutil.copytree(ROOT / folder, sources / folder, symlinks=True, ignore=without)
    for name in SOURCES:
        shutil.copy(ROOT / name, sources)
    to = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", to, sources)
    (built,) = to.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def lrsearch(wheel, tmp_path_factory):
    """`lrsearch WORDS` of the installed wheel, in a folder that holds nothing of ours."""
    site = tmp_path_factory.mktemp("site")
    pip("install", "--no-deps", "--target", site, wheel)
    empty = tmp_path_factory.mktemp("empty")

    def run(*words, code=0):
        ended = subprocess.run(
            [sys.executable, "-m", "lrsearch", *words],
            cwd=empty,
            env={**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == code, ended.stderr
        return ended.stdout + ended.stderr

    # What is tested is not the checkout.
    where = [sys.executable, "-c", "import lrsearch; print(lrsearch.__file__)"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    found = subprocess.run(where, cwd=empty, env=environment, capture_output=True, text=True)
    assert Path(found.stdout.strip()) == site / "lrsearch" / "__init__.py"
    return run


def test_the_wheel_holds_each_shipped_study_once_and_no_package_of_them(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for path in (ROOT / "studies").iterdir():
        if path.is_file():
            assert names.count(f"lrsearch/spec/studies/{path.name}") == 1
    assert not [name for name in names if name.startswith("studies/")]
    assert "lrsearch/py.typed" in names
    for path in (ROOT / "lrsearch/starter/files").iterdir():
        assert f"lrsearch/starter/files/{path.name}" in names


@pytest.mark.slow
def test_a_shipped_study_runs_by_name_from_an_empty_folder(lrsearch):
    output = lrsearch("run", "digits", "--trials", "2", "--workers", "1", "--name", "short")
    assert "digits.yaml (comes with lrsearch)" in output
    assert "/short-report/report.html" in output
