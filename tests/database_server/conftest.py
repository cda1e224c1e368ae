import os
import shutil
import tempfile
from pathlib import Path

import pytest
from postgres import binaries


@pytest.fixture(scope="session")
def programs():
    """The wheel's programs where any user may run them, for `--bin`; None: where they are."""
    if os.getuid() != 0:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="lrsearch-programs-"))
    folder.chmod(0o755)
    package = binaries().parents[1]
    for source in (binaries().parent, package.with_name(f"{package.name}.libs")):
        if source.is_dir():
            target = folder / source.relative_to(package.parent)
            shutil.copytree(source, target, symlinks=True)
    yield folder / binaries().relative_to(package.parent)
    shutil.rmtree(folder)


@pytest.fixture
def server_folder():
    """An empty folder that the server's user may enter: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="lrsearch-serve-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)
