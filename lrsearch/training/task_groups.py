"""A task's parameter groups as a study's, and whether they fit its model."""

from dataclasses import replace

from lrsearch.catalog.groups import OF_TASK
from lrsearch.errors import SpecError, TaskError
from lrsearch.recipe.parameter_groups import parameter_groups
from lrsearch.space.groups import parse_groups
from lrsearch.spec.sample_recipes import sample
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import Task


def with_task_groups(spec: StudySpec, task: Task) -> StudySpec:
    """The study with the task's groups where its space has none of its own.

    Rules become the space's, so that recipes and exports hold them; a function stays the task's.
    Raises SpecError for rules that are wrong.
    """
    if task.groups is None or spec.space.groups is not None:
        return spec
    if callable(task.groups):
        groups = parse_groups(OF_TASK, spec.space.optimizers, "groups")
    else:
        groups = parse_groups(task.groups, spec.space.optimizers, "the task's groups")
    return spec.model_copy(update={"space": replace(spec.space, groups=groups)})


def check_groups(spec: StudySpec, task: Task) -> None:
    """Raises TaskError or SpecError where a recipe's groups do not fit the task's model."""
    if spec.space.groups == OF_TASK and not callable(task.groups):
        raise SpecError("space.groups = 'task', but the task has no function `groups`")
    recipes = [("space", recipe) for recipe in sample(spec, 1, task.batch_size)]
    recipes += [
        (where, spec.recipe(fields, batch_size=task.batch_size, where=where))
        for where, fields in spec.given_recipes()
    ]
    model = None
    for where, recipe in recipes:
        if not recipe.groups:
            continue
        model = model or task.model()
        try:
            parameter_groups(recipe.optimizer, model, recipe.groups_for(task.groups))
        except TaskError as error:
            raise TaskError(f"{where}.{error}" if recipe.group_rules else str(error)) from error
