"""A study file: read, and its program run for a moment."""

from collections.abc import Mapping
from pathlib import Path

from lrsearch.preflight.checked import Checked, located
from lrsearch.preflight.program import check_program
from lrsearch.preflight.task import check_study
from lrsearch.spec.portfolio_field import with_portfolio_file
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.records import StudyRecord
from lrsearch.study_name import project_of
from lrsearch.task.find import load_task
from lrsearch.user_input import read_yaml


def read_study_file(
    path: Path, *, name: str | None = None, totals: Mapping[str, int] | None = None
) -> StudySpec:
    """The study in a file. Raises SpecError.

    `name` and `totals`, of the budget by its fields, replace the file's own.
    """
    spec = StudySpec.load(path)
    if name is None and not totals:
        return spec
    content = with_portfolio_file(read_yaml(path, "study file"), path)
    if name is not None:
        content["name"] = name
        if project_of(name):
            content.pop("project", None)
    content["budget"] = {**spec.budget.model_dump(exclude_none=True), **(totals or {})}
    options = ", ".join(f"--{field}" for field in totals or ())
    return StudySpec.from_dict(content, where=options or str(path))


def check_spec(
    spec: StudySpec,
    path: Path,
    *,
    device: str = "auto",
    proves: bool = False,
    stored: StudyRecord | None = None,
) -> Checked:
    """Import the task of the study that was read from `path`, and train one batch of it.

    A script or a command is run until its first report. `proves` and `stored`, the study of this
    name that a database has: see `check_program`. Raises SpecError, TaskError or DeviceError in one
    line.
    """
    from lrsearch.training.devices import pick_device

    pick_device(device)
    folder = path.resolve().parent
    if spec.task is None:
        with located(str(path)):
            return check_program(spec, path, device=device, proves=proves, stored=stored)
    with located(str(path)):
        loaded = load_task(spec.task, path.parent, spec.own_names())
    return check_study(spec, loaded, folder=folder, device=device, where=str(path))
