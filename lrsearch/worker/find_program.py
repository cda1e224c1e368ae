"""The code of a study on this machine, as what a worker trains."""

from collections.abc import Iterable
from pathlib import Path

import torch

from lrsearch.child_process.folders import study_folder
from lrsearch.spec.command_code import find_command
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.stored_study import StoredStudy
from lrsearch.task.find import find_task
from lrsearch.task.script import find_script
from lrsearch.task.task import LoadedCode, LoadedTask
from lrsearch.training.initial_weights import with_weights_of
from lrsearch.worker.commands.program import CommandProgram
from lrsearch.worker.program import Program
from lrsearch.worker.scripts.program import ScriptProgram
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.tasks.program import TaskProgram


def find_code(search: StoredStudy, places: Iterable[Path]) -> LoadedCode:
    """The study's code, in the first of the places that has it.

    Raises TaskError that lists every place looked at.
    """
    spec, strict, folders = search.spec, search.spec.on_code_change == "refuse", list(places)
    if spec.task is not None:
        return find_task(spec.task, search.code, folders, strict=strict, own=spec.own_names())
    if spec.train is not None:
        return find_script(spec.train, search.code, folders, strict=strict)
    # A command that was given without a study file has one beside its trials.
    return find_command(spec, search.code, [*folders, study_folder(spec.name)], strict=strict)


def find_program(
    search: OpenStudy, places: Iterable[Path], device: torch.device, stop: Stop
) -> Program:
    """The program of the study, in the first of the places that has its code.

    Raises TaskError that lists every place looked at.
    """
    spec, folders = search.spec, list(places)
    code = find_code(search, folders)
    if isinstance(code, LoadedTask):
        return TaskProgram(spec, with_weights_of(spec, code, folders), device, folders)
    if spec.train is not None:
        return ScriptProgram(spec, code, device, lambda: stop.asked)
    return CommandProgram(spec, str(device), search)
