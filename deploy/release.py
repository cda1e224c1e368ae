"""What a release pins: the packages of the container image by hash, base images by digest.

    python deploy/release.py lock    # writes deploy/requirements.lock; asks pip's package index
    python deploy/release.py pin     # rewrites FROM and image: lines; asks registries, by docker

`pip install -c constraints.txt` takes the same versions. Hashes have a file of their own, because
pip refuses them for a local folder, and README's command installs one.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "deploy" / "requirements.lock"
#: Where builds of torch without CUDA are.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
HEAD = f"""\
# Packages of the container image, CPU build of torch, Python 3.11 on x86-64 Linux, by hash.
# Written by `python deploy/release.py lock`; versions are those of constraints.txt.
--extra-index-url {CPU_INDEX}
"""
#: Files that name images, and how: `FROM IMAGE` or `image: IMAGE`.
IMAGE_FILES = (
    ROOT / "Dockerfile",
    ROOT / "docker-compose.yml",
    ROOT / "deploy" / "kubernetes" / "database.yaml",
)
IMAGE = re.compile(r"^(?P<before>FROM |\s+image: )(?P<name>[^\s@]+:[^\s@]+)(?:@sha256:\w+)?", re.M)


def locked(report: dict) -> str:
    """The lock file of a report of `pip install --report`."""
    names = [package["metadata"]["name"].lower() for package in report["install"]]
    if cuda := [name for name in names if name.startswith("nvidia-")]:
        sys.exit(f"Error: pip found torch with CUDA ({cuda[0]}); the lock is of the CPU build")
    lines = []
    for package in report["install"]:
        meta, download = package["metadata"], package["download_info"]
        if meta["name"] != "lrsearch":
            digest = download["archive_info"]["hashes"]["sha256"]
            name = re.sub(r"[-_.]+", "-", meta["name"]).lower()
            lines.append(f"{name}=={meta['version']} --hash=sha256:{digest}\n")
    return HEAD + "".join(sorted(lines))


def lock() -> None:
    """Write the lock file of what pip would install now."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        asked = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        asked += ["-c", str(ROOT / "constraints.txt"), f"{ROOT}[examples]"]
        run([sys.executable, "-m", "pip", *asked])
        LOCK.write_text(locked(json.loads(report.read_text(encoding="utf-8"))), encoding="utf-8")


def pinned(text: str, digest_of) -> str:
    """A Dockerfile or compose file whose images are named by tag and digest."""
    return IMAGE.sub(
        lambda found: f"{found['before']}{found['name']}@{digest_of(found['name'])}", text
    )


def digest_of(image: str) -> str:
    """The digest that a registry gives for a tag today."""
    asked = ["docker", "buildx", "imagetools", "inspect", image]
    return run([*asked, "--format", "{{.Manifest.Digest}}"]).strip()


def pin() -> None:
    """Name each base image by its digest of today; our own image has none."""
    for path in IMAGE_FILES:
        path.write_text(pinned(path.read_text(encoding="utf-8"), digest_of), encoding="utf-8")


def run(command: list[str]) -> str:
    """What a command printed; one line and the end of this process where it fails."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        sys.exit(f"Error: {command[0]} is not installed; it is needed to ask registries")
    if ended.returncode:
        sys.exit(f"Error: {' '.join(command[:3])}: {' '.join(ended.stderr.split())}")
    return ended.stdout


def main(words: list[str]) -> None:
    """Run the named step."""
    steps = {"lock": lock, "pin": pin}
    if len(words) != 1 or words[0] not in steps:
        sys.exit(f"Usage: python deploy/release.py {'|'.join(steps)}")
    steps[words[0]]()


if __name__ == "__main__":
    main(sys.argv[1:])
