"""The quicker TPE draws what Optuna's own draws, to the last bit."""

import math
import random

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from lrsearch.study.optuna.private.quick_tpe import QuickTPESampler, common_space
from lrsearch.study.optuna.seen_trial import SeenTrial


def suggest(trial):
    """Conditional parameters of every kind."""
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adamw"])
    trial.suggest_float(f"{optimizer}.lr", 1e-5, 1.0, log=True)
    if optimizer == "sgd":
        trial.suggest_categorical("nesterov", [True, False])
    trial.suggest_int("depth", 1, 9, step=2)
    trial.suggest_float("warmup", 0.0, 0.1, step=0.05)
    trial.suggest_int("width", 1, 512, log=True)


def end(study, trial, chance):
    """Complete, pruned, diverged, failed, or still running beside the next."""
    loss, course = math.log10(trial.params["depth"]) + chance.random(), chance.randrange(7)
    if course == 6:
        return
    if course in (1, 4):
        trial.report(loss, course)
    if course == 2:
        trial.set_constraint("diverged", 2 - chance.random())
    states = [TrialState.COMPLETE, *[TrialState.PRUNED] * 4, TrialState.FAIL]
    state = states[course]
    study.tell(trial, loss if state == TrialState.COMPLETE else None, state=state)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_draws_are_those_of_optunas_own(direction):
    studies = [optuna.create_study(direction=direction) for _ in range(2)]
    chances = [random.Random(1), random.Random(1)]
    for number in range(60):
        drawn = []
        for study, kind, chance in zip(
            studies, (TPESampler, QuickTPESampler), chances, strict=True
        ):
            study.sampler = kind(seed=number)
            trial = study.ask()
            suggest(trial)
            drawn.append(trial.params)
            end(study, trial, chance)
        assert drawn[0] == drawn[1], number


def test_a_trial_of_a_view_has_its_parameters_in_both_forms():
    trial = SeenTrial(
        optuna_id=7, optuna_number=0, state=TrialState.PRUNED, value=None, reports={}, violation=1.5
    )
    choice = optuna.distributions.CategoricalDistribution(("a", "b"))
    trial.add("name", 1.0, choice)
    assert (trial.params, trial.internal) == ({"name": "b"}, {"name": 1.0})
    assert trial.constraints == {"0": 1.5}
    assert (trial.optuna_id, trial.number) == (7, 1)


def test_common_is_what_all_have_alike():
    low, high = FloatDistribution(0, 1), FloatDistribution(0, 2)
    histories = [
        ([], {}),
        ([{"a": low, "b": low}], {"a": low, "b": low}),
        ([{"a": low, "b": low}, {"a": FloatDistribution(0, 1)}], {"a": low}),
        ([{"a": low}, {"a": high}], {}),
        ([{"a": low}, {}, {"a": low}], {}),
        ([{"a": IntDistribution(0, 1)}, {"a": low}], {}),
    ]
    for distributions, expected in histories:
        trials = [
            optuna.trial.create_trial(value=0.0, params=dict.fromkeys(own, 0), distributions=own)
            for own in distributions
        ]
        assert common_space(trials) == expected
