"""The code of a study as it is now, so that later changes do not reach workers that are started."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lrsearch.child_process.folders import study_folder
from lrsearch.private_files import make_private_folder, private
from lrsearch.spec.command_code import find_command
from lrsearch.study.stored_study import StoredStudy
from lrsearch.task.find import locate_task
from lrsearch.task.script import find_script, script_folder

#: Below the current folder: what `lrsearch launch` keeps.
FOLDER = "lrsearch-launch"


@dataclass(frozen=True, kw_only=True)
class CodeSnapshot:
    """The files that the study's hash covers: the task's file and the local modules it imports."""

    #: Where they are: what a worker takes as `--task-dir`.
    folder: Path
    #: By their names relative to the folder; of an installed package none.
    files: Mapping[str, bytes]

    def write(self, target: Path) -> Path:
        """Write the files into a new folder, with links to whatever else lies beside them.

        The target, absolute. Raises OSError.
        """
        for name, content in self.files.items():
            path = target / name
            make_private_folder(path.parent)
            with open(path, "wb", opener=private) as file:
                file.write(content)
        make_private_folder(target)
        folders = {above for name in self.files for above in Path(name).parents}
        for folder in {Path(), *folders}:
            self._link_beside(target, folder)
        return target.absolute()

    def _link_beside(self, target: Path, folder: Path) -> None:
        """Link what lies in one folder of the snapshot and is no code: data that the task reads."""
        for path in sorted((self.folder / folder).iterdir()):
            link = target / folder / path.name
            hidden = path.name.startswith(".") or path.name in ("__pycache__", FOLDER)
            if not hidden and not link.exists():
                link.symlink_to(path.resolve())


def snapshot(study: StoredStudy, folders: Iterable[Path]) -> CodeSnapshot:
    """The study's code in the first of the folders that has it; nothing of it is imported.

    Raises TaskError that lists every place looked at.
    """
    spec, strict, places = study.spec, study.spec.on_code_change == "refuse", list(folders)
    if spec.task is not None:
        found = locate_task(spec.task, study.code, places, strict=strict, own=spec.own_names())
        folder = found.folder.resolve()
        paths = [
            folder / name.removeprefix("./") if name.startswith("./") else found.root / name
            for name in found.code
        ]
    elif spec.train is not None:
        script = find_script(spec.train, study.code, places, strict=strict)
        folder = script_folder(script)
        paths = [script.source.parent / name for name in script.code]
    else:
        # Its scripts stay in the current folder: a worker refuses them if they have changed.
        places.append(study_folder(spec.name))
        source = find_command(spec, study.code, places, strict=strict).source.resolve()
        folder, paths = source.parent, [source]
    inside = [path for path in paths if path.is_relative_to(folder)]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in inside}
    return CodeSnapshot(folder=folder, files=files)
