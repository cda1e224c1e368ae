"""The trunk of a ladder's run: the checkpoint that a shorter run of its learning rate has left."""

import logging

from sqlalchemy import Connection

from lrsearch.recipe.recipe import Recipe
from lrsearch.storage import checkpoints, trials
from lrsearch.storage.records import CheckpointRecord
from lrsearch.study.checkpoint_cleanup import store_of
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial.states import TrialState

log = logging.getLogger("lrsearch")


def trunk_of(search: StoredStudy, recipe: Recipe) -> bytes | None:
    """Where the longest shorter run began to decay; None where this one begins at step 0."""
    ladder = search.spec.ladder
    if ladder is None or ladder.steps_per_unit is None:
        return None

    def look(connection: Connection) -> CheckpointRecord | None:
        found = trials.everything(connection, search.study_id)
        mine = [row for row in found if row.state == TrialState.COMPLETE and row.recipe]
        shorter = {
            row.recipe[ladder.unit]: row.id
            for row in mine
            if row.recipe and _shares(Recipe.from_dict(row.recipe), recipe)
        }
        return checkpoints.branch_point_of(connection, shorter[max(shorter)]) if shorter else None

    row = search.database.look(look)
    if row is None:
        return None
    data = store_of(search).read(row.file, row.sha256, row.bytes)
    if data is None:
        log.warning("the checkpoint of a shorter run is not here; beginning at step 0")
    return data


def _shares(shorter: Recipe, recipe: Recipe) -> bool:
    """Whether one recipe is the other over a shorter horizon."""
    own = (shorter.epochs or shorter.steps or 0, recipe.epochs or recipe.steps or 0)
    alike = {"epochs": recipe.epochs, "steps": recipe.steps}
    return own[0] < own[1] and shorter.model_copy(update=alike) == recipe
