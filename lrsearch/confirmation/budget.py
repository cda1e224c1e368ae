"""What a budget of epochs leaves to search and to confirmation, which are both paid from it."""

import math

from lrsearch.catalog.script import SCRIPT
from lrsearch.spec.portfolio_field import most
from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial import expected_trials as expected
from lrsearch.trial.expected_trials import Course
from lrsearch.trial.halving import make_stages
from lrsearch.trial.rounding import floor

#: Share that confirmation may spend at most, of the epochs that the trials may take.
CONFIRM_SHARE = 0.25
#: The same of a budget in runs. It is larger, since such a budget counts what is trained: a
#: quarter of 60 trials' epochs is about 60 % of what such a study trains. A quarter of 22 runs is
#: 5, too few to compare recipes. On digits (seeds 0 to 4) what these confirm has a val_loss of
#: .088 (.072, .058, .097, .078, .133), with 9 runs, which choose among three recipes, of .069
#: (.078, .062, .062, .072, .068), with 13 runs, for which fewer trials are searched, of .074 (seeds
#: 0 to 2: .070, .084, .069). The same seeds' `trials: 60` give .073 (.063, .075, .080).
RUNS_SHARE = 0.4
#: `auto` asks for no more runs than this; beyond 30 the regret of the choice hardly falls.
MOST_RUNS = 30
#: Epochs for fewer runs than this are searched with instead: the interval of two values reaches 9
#: standard deviations to each side, of three 2.5. In 60 studies simulated on 2,000 recorded digits
#: runs the chosen recipe's loss was so 3.6 % lower (standard error 0.9) at 10 trials' epochs with
#: the range test, 1.2 % (0.8) without; at 5 trials' epochs, without, 3.0 % (1.1).
LEAST_RESERVED = 3
#: A budget of fewer runs trains recipes of the portfolio alone, as many as it pays for, each to its
#: end. At 5 runs such a list gave a char GPT a loss of 1.326, and 1.823 where rungs at 4 and 11 %
#: chose from it; a CNN .367 and .403 (one and three studies).
LEAST_PRUNED_RUNS = 10
#: Why those of a script or a command have no plan.
SCRIPTS = "trials of scripts and commands do not wait"


def confirm_share(spec: StudySpec) -> float:
    """Share of a budget of epochs that confirmation may spend at most."""
    return CONFIRM_SHARE if spec.budget.runs is None else RUNS_SHARE


def reserved_runs(spec: StudySpec, horizon: float) -> int:
    """How many runs of `horizon` epochs are kept for confirmation out of the budget's epochs."""
    total = spec.budget.most_epochs(horizon)
    if spec.confirm is None or total is None:
        return 0
    most = floor(confirm_share(spec) * total / horizon)
    if spec.confirm.runs is not None:
        return min(spec.confirm.runs, most)
    return min(MOST_RUNS, most) if most >= LEAST_RESERVED else 0


def reserved_share(spec: StudySpec, horizon: float) -> float:
    """The same as a share of the budget's epochs."""
    total = spec.budget.most_epochs(horizon)
    return 0.0 if total is None else reserved_runs(spec, horizon) * horizon / total


def search_epochs(spec: StudySpec, horizon: float) -> float:
    """What the budget leaves to range tests and trials; infinite where it does not count epochs."""
    total = spec.budget.most_epochs(horizon)
    return math.inf if total is None else total * (1 - reserved_share(spec, horizon))


def paid_runs(spec: StudySpec, horizon: float) -> float | None:
    """How many full trials the budget pays for at least; None where it counts neither."""
    if spec.budget.trials is not None:
        return spec.budget.trials
    total = spec.budget.most_epochs(horizon)
    return None if total is None else total / horizon


def trains_whole(spec: StudySpec, horizon: float) -> bool:
    """Whether the budget is so small that each of the portfolio is trained to its end."""
    paid = paid_runs(spec, horizon)
    return paid is not None and paid < LEAST_PRUNED_RUNS


def asks_for_plan(spec: StudySpec) -> bool:
    """Whether a study has a plan if it can; its budget may be too small for one."""
    return spec.pruning is not None and spec.pruning.rule != "asynchronous"


def why_not_planned(spec: StudySpec, horizon: float) -> str:
    """Why trials do not wait at rungs for the best of all to go on; empty if they do.

    Such a plan, see `trial.halving`, shares out epochs, so the budget has to count them.
    Checkpoints of a task's trials are exact; a script's or a command's own may not be.
    """
    if not asks_for_plan(spec):
        return "pruning.rule is asynchronous"
    budget = spec.budget
    if not budget.counts_epochs or budget.trials is not None or budget.time is not None:
        return "only a budget in runs or epochs, without trials and time, can be shared out"
    if trains_whole(spec, horizon):
        return f"the budget pays for fewer than {LEAST_PRUNED_RUNS} runs"
    if spec.task is None:
        return SCRIPTS
    return ""


def missed_plan(spec: StudySpec, horizon: float) -> str:
    """Why trials do not wait, where the study file or its budget let expect that; else empty.

    Without a rule in the file, small budgets and those that count no epochs let expect nothing.
    """
    why = why_not_planned(spec, horizon)
    is_asked = spec.pruning is not None and spec.pruning.rule == "planned"
    return why if is_asked or (asks_for_plan(spec) and why == SCRIPTS) else ""


def is_planned(spec: StudySpec, horizon: float) -> bool:
    """Whether trials wait at rungs for the best of all to go on."""
    return not why_not_planned(spec, horizon)


def portfolio_is_whole(spec: StudySpec, horizon: float) -> bool:
    """Whether the portfolio's recipes are trained to their ends, whatever rungs say.

    So where the budget is small, and in a planned search, which shares out what they leave. Early
    rungs favour what starts fast, and these recipes rise before they fall: studies of digits that
    had them in the plan came to .088 at 10 runs (five), those that trained them whole to .076
    (eight; benchmarks/duel.py).
    """
    return trains_whole(spec, horizon) or is_planned(spec, horizon)


def portfolio_runs(spec: StudySpec, horizon: float) -> int:
    """How many of the portfolio's recipes are trained at most: half of the runs that are paid for.

    All of them where the budget is so small that each is trained to its end. Beside a plan, half of
    what the search may spend. Of a script's own optimizer none is known.
    """
    every, paid = most(spec.portfolio), paid_runs(spec, horizon)
    if set(spec.space.optimizers) == {SCRIPT}:
        return 0
    if paid is None or trains_whole(spec, horizon):
        return every
    if portfolio_is_whole(spec, horizon):
        return min(every, floor(search_epochs(spec, horizon) / horizon / 2))
    return min(every, math.ceil(paid / 2))


def runs_beside(spec: StudySpec, horizon: float, *, portfolio: int) -> int:
    """How many trials a planned search trains whole, beside its plan.

    `portfolio` is how many of the portfolio's recipes there are.
    """
    whole = portfolio if portfolio_is_whole(spec, horizon) else 0
    return whole + (spec.baseline is not None)


def expected_course(
    spec: StudySpec, horizon: float, *, portfolio: int, range_test: float = 0.0
) -> Course | None:
    """How the search is expected to go, its first recipes of the portfolio apart.

    `portfolio` is how many of it are trained first, `range_test` what range tests take of the
    budget, in epochs. None where time alone ends the search.
    """
    bounds: list[float] = [] if spec.budget.trials is None else [spec.budget.trials]
    epochs = search_epochs(spec, horizon)
    if epochs < math.inf:
        bounds.append((epochs - range_test) / horizon)
    if not bounds:
        return None
    given = len(spec.given_recipes())
    # A baseline is never pruned.
    whole = portfolio if trains_whole(spec, horizon) else 0
    whole += given if whole or spec.baseline is not None else 0
    pruning = spec.pruning
    return expected.expected_course(
        min(bounds),
        rungs=() if pruning is None else pruning.rungs,
        eta=math.inf if pruning is None else pruning.eta,
        min_peers=0 if pruning is None else pruning.min_peers,
        most=math.inf if spec.budget.trials is None else spec.budget.trials,
        whole=whole,
        first=given + portfolio,
    )


def expected_trials(spec: StudySpec, horizon: float) -> int | None:
    """About how many trials the study will have; None where time alone ends it."""
    portfolio = portfolio_runs(spec, horizon)
    if is_planned(spec, horizon) and spec.pruning is not None:
        ends = [rung * horizon for rung in spec.pruning.rungs]
        beside = runs_beside(spec, horizon, portfolio=portfolio)
        epochs = max(0.0, search_epochs(spec, horizon) - beside * horizon)
        return beside + make_stages(epochs, [*ends, horizon])[0].seats
    course = expected_course(spec, horizon, portfolio=portfolio)
    return None if course is None else course.trials


def allowed_runs(
    spec: StudySpec, *, started: int, epochs_left: float | None, horizon: float
) -> int:
    """The most confirmation runs that a study may have: a quarter of its trials' epochs.

    Where the budget counts epochs or runs and no trials, its share of these.
    """
    trials = started if spec.budget.trials is None else spec.budget.trials
    total = spec.budget.most_epochs(horizon)
    if spec.budget.trials is None and total is not None:
        runs = floor(confirm_share(spec) * total / horizon)
    else:
        runs = floor(CONFIRM_SHARE * trials)
    if epochs_left is not None:
        runs = min(runs, floor(epochs_left / horizon))
    return max(0, runs)
