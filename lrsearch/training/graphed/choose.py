"""Which cohort trains several trials at once on a device."""

import logging

from lrsearch.recipe.recipe import Recipe
from lrsearch.spec import named
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.fused.cohort import Cohort
from lrsearch.training.graphed.cohort import GraphedCohort, NotGraphedError
from lrsearch.training.graphed.updates import NAMES
from lrsearch.training.task_cache import TaskCache

log = logging.getLogger("lrsearch")

#: Kinds of device on which a step that never waits for the host is worth it. On a CPU torch's own
#: kernels, row by row, are 2.6 to 3.2 times as fast as updates of all rows at once.
DEVICES = frozenset({"cuda"})


def make_cohort(spec: StudySpec, cache: TaskCache, recipe: Recipe, size: int) -> Cohort:
    """Places for `size` trials like `recipe`. Raises as Cohort does.

    One whose steps are captured, where the device does that, all optimizers of the study have rules
    for rows, and the batches of the task's data have one shape.
    """
    optimizers = named.optimizers(spec.space, spec.given_recipes())
    if cache.device.type in DEVICES and NAMES.issuperset(optimizers):
        try:
            return GraphedCohort(spec, cache, recipe, size)
        except NotGraphedError as reason:
            log.info("a cohort's steps are not captured: %s", reason)
    return Cohort(spec, cache, recipe, size)
