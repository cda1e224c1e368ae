"""Studies that hold many trials, written by plain SQL: seconds where Optuna takes minutes."""

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Connection, text

from lrsearch.space.search_space import SearchSpace
from lrsearch.storage import studies
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.optuna import gate
from lrsearch.study.optuna.attributes import CONSTRAINTS

#: Of each trial; what is pruned ends at its third rung.
EPOCHS, PRUNED_AT = 20, 7
#: Epochs of a study of 20 at which lrsearch decides, and reports to Optuna.
RUNGS = (1, 2, 7)
#: Stock Optuna's study is alone in its schema.
STOCK_ID = 1
METRICS = json.dumps({"accuracy": 0.9})
CURVE_COLUMNS = (
    "trial, attempt, validation, epoch, step, lr, train_loss, val_loss, val_loss_ema, metrics, "
    "grad_norm, seconds"
)


def made_up_trials(space: SearchSpace, count: int) -> list[FrozenTrial]:
    """Ended trials with parameters drawn at random, every second one pruned."""
    sampler = optuna.samplers.RandomSampler(seed=0)
    scratch, chance = optuna.create_study(sampler=sampler), random.Random(0)
    trials = []
    for number in range(count):
        drawn = scratch.ask()
        space.suggest(drawn, lambda params: 32)
        trial = create_trial(
            state=TrialState.PRUNED if number % 2 else TrialState.COMPLETE,
            value=chance.random(),
            params=drawn.params,
            distributions=drawn.distributions,
        )
        trials.append(trial)
    return trials


def fill_stock(connection: Connection, trials: Sequence[FrozenTrial]) -> None:
    """Optuna's study as its own workers leave it: a report at every epoch."""
    gate.writer(connection).insert_trials(STOCK_ID, trials)
    reports(connection, STOCK_ID, "generate_series(1, 20)")


def fill_ours(connection: Connection, search: OpenStudy, trials: Sequence[FrozenTrial]) -> None:
    """lrsearch's study as its own workers leave it: both halves, curves, rungs."""
    for trial in trials:
        trial.system_attrs = {CONSTRAINTS: [0.0]}
    gate.writer(connection).insert_trials(search.study_id, trials)
    study = {"study": search.study_id}
    steps = ", ".join(f"({step})" for step in RUNGS)
    reports(connection, search.study_id, f"(VALUES {steps})")
    recipe = search.spec.recipe(example(), batch_size=32).to_dict()
    run(
        connection,
        "INSERT INTO lr_trial (study_id, ticket, trial_id, number, kind, recipe, state, worker,"
        " attempt, value, metrics, epochs, seconds, started_at, ended_at, ended)"
        " SELECT study_id, number + 1, t.trial_id, number, 'sampled', CAST(:recipe AS json),"
        " lower(CAST(state AS text)), 'fill:0:0', 1, v.value, CAST(:metrics AS json),"
        " CASE state WHEN 'PRUNED' THEN 7 ELSE 20 END, 1, 0, 1, number + 1"
        " FROM trials t JOIN trial_values v USING (trial_id) WHERE study_id = :study",
        {**study, "recipe": json.dumps(recipe), "metrics": METRICS},
    )
    curves(connection, search.study_id, EPOCHS, "state <> 'running'")
    for rung, step in enumerate(RUNGS):
        run(
            connection,
            "INSERT INTO lr_rung (trial, rung, study_id, value)"
            " SELECT id, :rung, study_id, value + 1.0 / :step FROM lr_trial"
            " WHERE study_id = :study",
            {**study, "rung": rung, "step": step},
        )
    count = len(trials)
    used = {"trials_used": count, "trials_ended": count, "epochs_used": 13.5 * count}
    studies.change(connection, search.study_id, **used)


def example() -> dict[str, Any]:
    optimizer = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-5}
    return {"optimizer": optimizer, "schedule": {"name": "cosine"}, "warmup": 0.05, "params": {}}


def add_running(
    ours: Connection, search: OpenStudy, stock: Connection, count: int, epochs: int
) -> None:
    """Trials that run beside the one that is measured, with so many epochs behind them each."""
    for ticket in range(count):
        gate.writer(ours).start_trial(search.study_id, 10_000_000 + ticket)
    run(
        ours,
        "INSERT INTO lr_trial (study_id, ticket, trial_id, number, kind, state, worker, attempt,"
        " epochs, seconds, started_at) SELECT study_id, 10000000 + number, trial_id, number,"
        " 'sampled', 'running', 'fill:0:0', 1, 0, 0, 0 FROM trials t WHERE study_id = :study"
        " AND NOT EXISTS (SELECT 1 FROM lr_trial o WHERE o.trial_id = t.trial_id)",
        {"study": search.study_id},
    )
    curves(ours, search.study_id, epochs, "ticket >= 10000000")
    ids = [gate.writer(stock).start_trial(STOCK_ID, ticket)[0] for ticket in range(count)]
    reports(stock, STOCK_ID, f"generate_series(1, {epochs})", first=ids[0])


def reports(
    connection: Connection,
    study_id: int,
    steps: str,
    *,
    first: int = 0,
) -> None:
    """A report at each of the steps, of trials from the id `first` on."""
    run(
        connection,
        "INSERT INTO trial_intermediate_values"
        " (trial_id, step, intermediate_value, intermediate_value_type)"
        " SELECT t.trial_id, s.step, coalesce(v.value, 0.5) + 1.0 / s.step, 'FINITE'"
        f" FROM trials t LEFT JOIN trial_values v USING (trial_id), {steps} AS s (step)"
        " WHERE t.study_id = :study AND t.trial_id >= :first"
        " AND (t.state <> 'PRUNED' OR s.step <= :pruned)",
        {"study": study_id, "first": first, "pruned": PRUNED_AT},
    )


def curves(connection: Connection, study_id: int, validations: int, which: str) -> None:
    run(
        connection,
        f"INSERT INTO lr_curve ({CURVE_COLUMNS}) SELECT id, 1, v, v, 44 * v, 0.1, 0.5, 0.5, 0.5,"
        " CAST(:metrics AS json), 1, v FROM lr_trial, generate_series(1, :last) AS v"
        f" WHERE study_id = :study AND {which}",
        {"study": study_id, "last": validations, "metrics": METRICS},
    )


def run(connection: Connection, statement: str, values: Mapping[str, Any]) -> None:
    connection.execute(text(statement), dict(values))
