"""The quicker TPE draws what Optuna's own draws, to the last bit."""

import math
import random

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.trial import TrialState

from lrsearch.study.optuna.private import seen_arrays
from lrsearch.study.optuna.private.quick_numbers import Kernels, _log_ndtr, draw
from lrsearch.study.optuna.private.quick_tpe import QuickTPESampler
from lrsearch.study.optuna.private.seen_arrays import SeenArrays, in_common
from lrsearch.study.optuna.sampler import new_trial
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


def made_numbers(chance, distribution, count):
    """Numbers of a range: spread, close together, or at its ends."""
    low, high = distribution.low, distribution.high
    shares = [chance.random() for _ in range(count)]
    if chance.random() < 0.3:
        shares[: count // 2] = [0.4 + share / 1e4 for share in shares[: count // 2]]
    if chance.random() < 0.3:
        shares[:1] = [chance.choice([0.0, 1.0])] * len(shares[:1])
    if distribution.log:
        found = [low * (high / low) ** share for share in shares]
    else:
        found = [low + (high - low) * share for share in shares]
    return np.clip(found, low, high) if found else np.empty(0)


def test_a_number_is_drawn_as_optuna_draws_it():
    """Of few and many trials, also where a window leaves kernels outside of the range."""
    chance = random.Random(3)
    parameters = TPESampler()._parzen_estimator_parameters
    outside = 0
    for seed in range(300):
        wide = FloatDistribution(1e-4, 1.0, log=True) if seed % 2 else FloatDistribution(-1.0, 3.0)
        window = FloatDistribution(0.01, 0.1, log=wide.log) if seed % 3 == 0 else wide
        good, bad = (
            _ParzenEstimator(
                {"x": made_numbers(chance, wide, chance.choice(counts))}, {"x": window}, parameters
            )
            for counts in ([0, 1, 5, 25], [0, 1, 30, 300, 1000])
        )
        rngs = [np.random.RandomState(seed) for _ in range(2)]
        samples = good.sample(rngs[0], 24)
        gains = good.log_pdf(samples) - bad.log_pdf(samples)
        expected = samples["x"][np.argmax(gains)]
        assert draw(Kernels.of(good), Kernels.of(bad), rngs[1], 24) == expected, seed
        assert rngs[0].random_sample() == rngs[1].random_sample()
        outside += (Kernels.of(good).low > 0).any()
    assert outside > 10


def test_the_log_of_the_normal_distribution_function_is_optunas():
    numbers = np.concatenate([np.linspace(-40, 10, 2001), [0.0, -0.0, 6.0, -20.0, -1.0, 1.0]])
    assert _log_ndtr(numbers).tolist() == _truncnorm._log_ndtr(numbers).tolist()


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
    cases = [
        ([], {}),
        ([{"a": low, "b": low}], {"a": low, "b": low}),
        ([{"a": low, "b": low}, {"a": FloatDistribution(0, 1)}], {"a": low}),
        ([{"a": low}, {"a": high}], {}),
        ([{"a": low}, {}, {"a": low}], {}),
        ([{"a": IntDistribution(0, 1)}, {"a": low}], {}),
    ]
    for kinds, expected in cases:
        assert in_common(kinds) == expected


def seen(study):
    """The study's trials as a view reads them."""
    found = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.FAIL:
            continue
        one = SeenTrial(
            optuna_id=trial.number,
            optuna_number=trial.number,
            state=trial.state,
            value=trial.value,
            reports=dict(list(trial.intermediate_values.items())[-1:]),
            violation=max(trial.constraints.values(), default=0.0),
        )
        for name, distribution in trial.distributions.items():
            number = distribution.to_internal_repr(trial.params[name])
            one.add(name, number, KNOWN.setdefault(repr((name, distribution)), distribution))
        found.append(one)
    return found


#: Distributions by their text: as a reader has them, equal ones are the same one.
KNOWN = {}


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_draws_from_a_view_are_those_of_optunas_own(direction):
    """Rows of one table serve all draws, while trials end and the oldest are forgotten."""
    study, chance = optuna.create_study(direction=direction), random.Random(1)
    view = {}
    for number in range(90):
        # Those that have not changed since are the same ones, as in a view.
        view |= {
            one.optuna_id: one
            for one in seen(study)
            if one.optuna_id not in view or view[one.optuna_id].state != one.state
        }
        history = [view[key] for key in sorted(view)][-60:]
        drawn = []
        for sampler in (TPESampler(seed=number), QuickTPESampler(seed=number)):
            trial = new_trial(history, sampler, direction=direction, fixed=None)
            suggest(trial)
            drawn.append(trial.params)
        assert drawn[0] == drawn[1], number
        study.sampler = TPESampler(seed=number)
        trial = study.ask()
        suggest(trial)
        end(study, trial, chance)
    tables = {id(trial.table) for trial in history}
    assert len(tables) == 1


def test_a_table_is_made_anew_when_most_of_its_trials_are_gone(monkeypatch):
    monkeypatch.setattr(seen_arrays, "ROWS", 2)
    monkeypatch.setattr(seen_arrays, "MOST_ROWS", 2)
    made = [
        SeenTrial(
            optuna_id=number,
            optuna_number=number,
            state=TrialState.COMPLETE,
            value=float(number),
            reports={},
            violation=0.0,
        )
        for number in range(20)
    ]
    for number, trial in enumerate(made):
        trial.add("x", number / 20, FloatDistribution(0, 1))
    for last in range(3, 21):
        arrays = SeenArrays(made[last - 3 : last])
        rows = np.concatenate(arrays.split(1, minimize=True))
        numbers = [number / 20 for number in range(last - 3, last)]
        assert arrays.observations(["x"], rows)["x"].tolist() == numbers
    assert made[19].table.size <= 2 + 2 * 3 + 1
    assert made[0].table is not made[19].table
