"""How many late trials diverge once a sampler could know better: lrsearch beside default Optuna.

Nothing is trained: a trial's loss is a known function of its recipe, and beyond a cliff in the
learning rate it diverges. lrsearch's trials go through its own ask and tell on an SQLite file,
Optuna's through `study.optimize`. Run it: python benchmarks/divergence.py
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import optuna

from lrsearch import StudySpec
from lrsearch.space.parse import parse_space
from lrsearch.storage import curves
from lrsearch.storage.database import Database
from lrsearch.study.create import create_study
from lrsearch.study.open_study import Assignment, OpenStudy, Outcome
from lrsearch.study.prepare_database import open_database
from lrsearch.task.task import LoadedTask
from lrsearch.trial.curve import Validation
from lrsearch.trial.states import TrialState

#: Learning rate above which trials diverge: the top two decades of six.
CLIFF = 0.1
#: Decades from there down to the best learning rate.
GAPS = (0.3, 2.0)
#: Weight decay and 1 - beta1 with the lowest loss.
BEST_DECAY, BEST_REST = 1e-2, 0.1
#: Trials of a study, and the first that counts as late.
TRIALS, LATE = 60, 20
#: Loss of the first batch.
START_LOSS = 2.3
#: Of a full trial; nothing is trained.
EPOCHS = 10

optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # each failed trial is a warning


@dataclass(frozen=True, kw_only=True)
class Problem:
    #: 1 is lr alone; 3 is lr, weight decay and 1 - beta1, each sampled on a log scale.
    dimensions: int
    gap: float

    @property
    def space(self) -> dict[str, Any]:
        """As in a study file; lr spans six decades."""
        lr = {"low": 1e-5, "high": 10.0, "log": True}
        fields: dict[str, Any] = {"lr": lr, "weight_decay": BEST_DECAY, "beta1": 1 - BEST_REST}
        if self.dimensions == 3:
            fields["weight_decay"] = {"low": 1e-5, "high": 1.0, "log": True}
            fields["beta1"] = {"low": 0.0, "high": 0.99}
        optimizers = {"adamw": {**fields, "beta2": 0.999}}
        return {"optimizers": optimizers, "schedules": ["constant"], "warmup": 0.0}

    def loss(self, recipe: Mapping[str, Any]) -> float | None:
        """A bowl with its bottom, 0, at the best values; None beyond the cliff."""
        optimizer = recipe["optimizer"]
        lr = beyond_cliff(recipe) + self.gap
        if lr > self.gap:
            return None
        decay = math.log10(optimizer["weight_decay"] / BEST_DECAY)
        rest = math.log10((1 - optimizer["betas"][0]) / BEST_REST)
        return lr**2 + 0.1 * decay**2 + 0.3 * rest**2


def beyond_cliff(recipe: Mapping[str, Any]) -> float:
    """Decades by which the learning rate is too high."""
    return math.log10(recipe["optimizer"]["lr"] / CLIFF)


#: The losses of a study's trials, in their order; None diverged.
Losses = list[float | None]


# lrsearch


def lrsearch_losses(database: Database, problem: Problem, seed: int, trials: int) -> Losses:
    spec = StudySpec.from_dict(
        {
            "name": f"{problem.dimensions}-{problem.gap}-{seed}",
            "task": "divergence.py:task",
            "epochs": EPOCHS,
            "budget": {"trials": trials},
            "space": problem.space,
            "confirm": "none",
            "portfolio": "none",
            "seed": seed,
        }
    )
    loaded = LoadedTask(reference="divergence.py:task", source=Path(__file__), target=None, code={})
    search, _ = create_study(database, spec, loaded, steps_per_epoch=10, exist_ok=False)
    losses: Losses = []
    while (assignment := search.ask("benchmark:0:0", lambda params: 32)) is not None:
        losses.append(tell(search, assignment, problem))
    return losses


def tell(search: OpenStudy, assignment: Assignment, problem: Problem) -> float | None:
    """End the trial as a worker would that trained it; its loss."""
    recipe = assignment.recipe.to_dict()
    loss = problem.loss(recipe)
    # Half of the horizon just beyond the cliff, a tenth of that a decade further.
    progress = 1.0 if loss is not None else 0.5 / 10 ** beyond_cliff(recipe)
    if loss is not None:
        with search.database.begin() as connection:
            curves.add(connection, assignment.claim, [last_row(loss)])
    outcome = Outcome(
        state=TrialState.DIVERGED if loss is None else TrialState.COMPLETE,
        reason="training loss is not finite" if loss is None else None,
        epochs=EPOCHS * progress,
        seconds=1.0,
        progress=progress,
        start_loss=START_LOSS,
    )
    assert search.tell(assignment, outcome)
    return loss


def last_row(loss: float) -> Validation:
    return Validation(
        validation=1,
        step=10 * EPOCHS,
        epoch=float(EPOCHS),
        lr=0.1,
        train_loss=loss,
        val_loss=loss,
        val_loss_ema=None,
        metrics={},
        metrics_ema=None,
        grad_norm=1.0,
        seconds=1.0,
    )


# Default Optuna


class DivergedError(Exception):
    pass


def optuna_losses(problem: Problem, seed: int, trials: int, *, bad: float | None) -> Losses:
    """A diverged trial returns `bad`, or raises if it is None."""
    space = parse_space(problem.space)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    losses: Losses = []

    def objective(trial: optuna.Trial) -> float:
        loss = problem.loss(space.suggest(trial))
        losses.append(loss)
        if loss is None and bad is None:
            raise DivergedError
        return bad if loss is None else loss

    study.optimize(objective, n_trials=trials, catch=(DivergedError,))
    return losses


# Output


def measure(options: argparse.Namespace) -> dict[str, Any]:
    seeds, trials, late = options.seeds, TRIALS, LATE
    if options.quick:
        seeds, trials, late = 1, 13, 11
    rows = []
    with tempfile.TemporaryDirectory(prefix="divergence-") as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'studies.db'}", create=True)
        ways: dict[str, Callable[[Problem, int], Losses]] = {
            "Optuna, NaN": lambda p, seed: optuna_losses(p, seed, trials, bad=math.nan),
            "Optuna, exception": lambda p, seed: optuna_losses(p, seed, trials, bad=None),
            "Optuna, +inf": lambda p, seed: optuna_losses(p, seed, trials, bad=math.inf),
            "lrsearch": lambda p, seed: lrsearch_losses(database, p, seed, trials),
        }
        for dimensions, gap in product((1, 3), GAPS):
            problem = Problem(dimensions=dimensions, gap=gap)
            for name, way in ways.items():
                log(f"{dimensions}-D, {gap:g} decades: {name}")
                studies = [way(problem, seed) for seed in range(seeds)]
                rows.append({"problem": asdict(problem), "way": name, **summary(studies, late)})
        database.close()
    return {"optuna": optuna.__version__, "seeds": seeds, "trials": trials, "rows": rows}


def summary(studies: Sequence[Losses], late: int) -> dict[str, Any]:
    """Share of trials from number `late` on that diverged, and the mean best loss."""
    shares = [mean(loss is None for loss in losses[late:]) for losses in studies]
    bests = [
        min((loss for loss in losses if loss is not None), default=math.inf) for losses in studies
    ]
    return {"diverged": mean(shares), "low": min(shares), "high": max(shares), "best": mean(bests)}


def table(result: Mapping[str, Any]) -> str:
    lines = [
        f"{result['seeds']} studies each of {result['trials']} trials; Optuna {result['optuna']}",
        f"{'':4}{'cliff beyond best':>18}  {'':18}{'late trials diverged':>24}{'best loss':>12}",
    ]
    for row in result["rows"]:
        where = f"{row['problem']['dimensions']}-D {row['problem']['gap']:>10g} decades"
        spread = f"({row['low']:.0%}..{row['high']:.0%})"
        lines.append(
            f"{where:24}{row['way']:18}{row['diverged']:>10.0%} {spread:>13}{row['best']:12.4f}"
        )
    return "\n".join(lines)


def log(line: str) -> None:
    print(line, file=sys.stderr)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=12, help="studies of each kind (12)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--quick", action="store_true", help="one short study: does it run at all")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error(f"--seeds {options.seeds}: at least 1 is needed")
    return options


def main() -> None:
    options = parse_options()
    result = measure(options)
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
