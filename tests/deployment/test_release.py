"""The lock file of the container image, and the script that writes it and pins base images."""

import re
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>\S+) --hash=sha256:[0-9a-f]{64}")


@pytest.fixture
def release(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "deploy"))
    monkeypatch.delitem(sys.modules, "release", raising=False)
    import release

    return release


def locked():
    """Version by name, of every line that names a package."""
    lines = (ROOT / "deploy" / "requirements.lock").read_text().splitlines()
    packages = [line for line in lines if not line.startswith(("#", "--extra-index-url "))]
    found = [LINE.fullmatch(line) for line in packages]
    assert all(found)
    return {one["name"]: one["version"] for one in found}


def needed(name, extras=(), seen=None):
    """What a distribution needs on this machine, and what that needs."""
    seen = set() if seen is None else seen
    for text in requires(name) or ():
        wanted = Requirement(text)
        places = [{"extra": extra} for extra in (*extras, "")]
        other = canonicalize_name(wanted.name)
        asked = wanted.marker is None or any(wanted.marker.evaluate(place) for place in places)
        if asked and other not in seen:
            seen.add(other)
            needed(wanted.name, tuple(wanted.extras), seen)
    return seen


def test_the_lock_has_what_the_image_installs_and_nothing_else():
    assert locked().keys() == needed("lrsearch", extras=("examples",)) - {"lrsearch"}


def test_the_lock_has_the_tested_versions():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in lines if "==" in line)
    tested = {canonicalize_name(name): version for name, version in tested.items()}
    ours = {name: version.removesuffix("+cpu") for name, version in locked().items()}
    assert {name: tested.get(name, version) for name, version in ours.items()} == ours
    assert ours.keys() - tested.keys() <= {"setuptools"}


def test_a_lock_is_of_the_cpu_build(release):
    package = {"metadata": {"name": "nvidia-cublas", "version": "1"}, "download_info": {}}
    with pytest.raises(SystemExit, match="pip found torch with CUDA"):
        release.locked({"install": [package]})


def test_base_images_are_named_by_digest_and_again_by_a_newer_one(release):
    def digest(name):
        return f"sha256:{'a' * 64}"

    for path in release.IMAGE_FILES:
        text = path.read_text()
        once = release.pinned(text, digest)
        assert once.count("@sha256:") == text.count("postgres:16") + text.count("FROM python:")
        assert release.pinned(once, digest) == once


def test_one_line_where_registries_cannot_be_asked(release, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="Error: docker is not installed"):
        release.digest_of("python:3.11-slim")
    with pytest.raises(SystemExit, match=re.escape("Usage: python deploy/release.py lock|pin")):
        release.main(["all"])
