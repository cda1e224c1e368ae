"""The code of a study's command: its words and the scripts among them, as hashes.

A worker takes a command from a study file that it has, never from a database: who may write there
could name any program.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from lrsearch.errors import SpecError, TaskError
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.code import code_hash, task_code
from lrsearch.task.task import LoadedCode

#: Fields that say what is run and how it is read.
FIELDS = frozenset({"command", "report", "names", "resume_args"})
#: Names of study files.
FILES = ("*.yaml", "*.yml", "*.json")


def load_command(spec: StudySpec, source: Path) -> LoadedCode:
    """The command of a study file, and the Python files of the current folder that it names."""
    return LoadedCode(reference=spec.reference, source=source, code=_code(spec))


def _code(spec: StudySpec) -> dict[str, str]:
    words = json.dumps(spec.model_dump(mode="json", include=set(FIELDS)), sort_keys=True)
    code = {"command": hashlib.sha256(words.encode()).hexdigest()}
    for word in spec.command:
        path = Path(word)
        if path.suffix == ".py" and not path.is_absolute() and path.is_file():
            code |= task_code(path.resolve(), path.resolve().parent)
    return code


def find_command(
    spec: StudySpec, code: Mapping[str, str], folders: Iterable[Path], *, strict: bool
) -> LoadedCode:
    """The study file in `folders` that has the study's command, with the hashes it recorded.

    With `strict` false the Python files that it names may have changed. Raises TaskError that says
    where it was looked for.
    """
    wanted, looked = _code(spec), []
    changed = code_hash(wanted) != code_hash(code)
    if wanted["command"] != code.get("command") or (changed and strict):
        raise TaskError(
            f"the command `{spec.reference}` has another code here than the study recorded "
            f"({code_hash(wanted)[:12]}, not {code_hash(code)[:12]}); start the worker in the "
            f"folder of its scripts, and bring their files here"
        )
    for folder in folders:
        for pattern in FILES:
            for path in sorted(folder.glob(pattern)):
                looked.append(str(path))
                if _has_command(path, wanted["command"]):
                    return LoadedCode(reference=spec.reference, source=path, code=wanted)
    places = ", ".join(looked) or "there is none"
    raise TaskError(
        f"no study file here has the command `{spec.reference}` ({places}); a command is not taken "
        f"from the database: bring the study file here and name its folder with --task-dir"
    )


def _has_command(path: Path, wanted: str) -> bool:
    """Whether it is a study file with this command; any other file is none."""
    try:
        spec = StudySpec.load(path)
    except (SpecError, TaskError):
        return False
    return spec.program == "command" and _code(spec)["command"] == wanted
