"""What a result trains beyond its search: one recipe over other lengths."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lrsearch.api.temporary_place import TemporaryPlace
from lrsearch.api.training import Training
from lrsearch.recipe.recipe import Recipe
from lrsearch.study.stored_study import StoredStudy

if TYPE_CHECKING:
    from lrsearch.api.trained_model import TrainedModel
    from lrsearch.api.transfer import TransferResult


class LongerRuns:
    """A study that goes on from its recipes to longer runs; `Result` is one."""

    def __init__(
        self, study: StoredStudy, training: Training, place: TemporaryPlace | None
    ) -> None:
        self._study, self._training = study, training
        #: The folder of a study without a name: it lives as long as this result.
        self._place = place

    def train(
        self,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        recipe: Recipe | str | Path | int | None = None,
        seed: int | None = None,
        name: str | None = None,
        save: str | Path | None = None,
    ) -> "TrainedModel":
        """Train one recipe to the end of another horizon, and keep its weights.

        The length is `epochs`, or `steps` of the optimizer. `recipe` is a recipe, a file with one,
        or a trial's number; by default what the study recommends now. `seed` is the study's unless
        given. The run is the only trial of a study `name`, by default `STUDY-train-EPOCHS`; the
        same call goes on with it. `save` is a file for the weights, see `TrainedModel.save`.

        Raises StudyError where the run does not come to its end, or another run has its name, and
        SpecError for a recipe or a length that does not fit the study.
        """
        # torch and Optuna: not for who only reads
        from lrsearch.api.trained_model import trained_model
        from lrsearch.long_run.wanted import Wanted

        recipe = Path(recipe) if isinstance(recipe, str) else recipe
        wanted = Wanted(recipe=recipe, epochs=epochs, steps=steps, seed=seed, name=name)
        path = None if save is None else Path(save)
        return trained_model(self._study, wanted, self._training, save=path, place=self._place)

    def transfer(
        self,
        to: int | None = None,
        *,
        recipe: int | str | Path | None = None,
        horizons: Sequence[int] | None = None,
        probes: int | None = None,
        seeds: int | None = None,
        objective: Literal["last", "best"] | None = None,
        batch_size: int | None = None,
        name: str | None = None,
    ) -> "TransferResult":
        """Find the learning rate of a longer run: short runs, and three long ones.

        `to` is the long run in epochs, `recipe` a trial's number or a file, else `best`; `horizons`
        are those of the short runs. `probes` = 0 trains no long run: the answer is a guess.
        `batch_size` is the long runs' batch where it is another one: one more short run measures
        how lr moves with it. What is None is as in the study file. The runs are trials of the study
        NAME-to-EPOCHS; the same call goes on where it was interrupted. Raises SpecError for what
        cannot be transferred, and StudyError where the study has no recipe yet, or `name` is
        another study's.
        """
        from lrsearch.api import transfer  # numpy: not for who only reads
        from lrsearch.transfer.asked import Asked

        text = None if horizons is None else ",".join(map(str, horizons))
        asked = Asked(
            to=to,
            horizons=text,
            probes=probes,
            seeds=seeds,
            objective=objective,
            batch_size=batch_size,
            name=name,
        )
        spec = transfer.asked_of(self._study, recipe, asked)
        self._training.refuse_without_task("transfer()", self._study)
        return transfer.climbed(self._study, spec, self._training, place=self._place)

    def branch(
        self,
        trial: int,
        *,
        at: Sequence[int],
        seed: int | None = None,
        save: str | Path | None = None,
    ) -> "tuple[TrainedModel, ...]":
        """Train the recipe of a trial over several lengths in one go; the models, shortest first.

        `trial` is its number; its schedule is `wsd`. `at` are two or more numbers of epochs. Each
        run goes on from where the one before it began to decay, and ends with the weights of a run
        from step 0. `seed` is the study's unless given; `save` is a folder for the weights,
        `at-8.pt` and its like, and the recipes beside them. The same call goes on where it was
        interrupted.

        Raises SpecError for a recipe or lengths that share no trunk, StudyError where there is no
        such trial, or a run does not come to its end.
        """
        from lrsearch.api import branch  # torch and Optuna: not for who only reads

        self._training.refuse_without_task("branch()", self._study)
        tree = branch.asked_tree(self._study, trial, at, seed)
        folder = None if save is None else Path(save)
        return branch.branched(self._study, tree, self._training, save=folder, place=self._place)
