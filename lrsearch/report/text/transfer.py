"""What a ladder says, in words that promise no more than it measured."""

import math
from collections.abc import Sequence

from lrsearch.recipe.recipe import Recipe
from lrsearch.report.text.format import amount, counted, learning_rate, number, percent
from lrsearch.report.text.transfer_batch import batch_line, rule_line
from lrsearch.report.transfer import Transfer, rung_interval
from lrsearch.transfer import constants
from lrsearch.transfer.answer import Answer, Flag
from lrsearch.transfer.objectives import OTHER, Both
from lrsearch.transfer.plan import Cost, expected_cost, worst_cost
from lrsearch.transfer.runs import Ladder

#: What limits, in words.
LIMITS = {
    "training": "where training limits (the best lr moves little with the horizon)",
    "overfitting": "where overfitting limits (lr times horizon is about constant)",
}

#: What a trunk changes.
TRUNK = (
    "trunk: runs go on from a shorter one of their learning rate, where it began to decay; what "
    "they cost at most is without that"
)
#: What a user may rely on in place of "90 %".
COVERS = (
    f"the interval is made to hold the best lr in 90 % of cases; on tasks held out it did in "
    f"{100 * constants.COVERED:.0f} % of them, on the worst task in "
    f"{100 * constants.LEAST_COVERED:.0f} %"
)
#: What each objective is, in words.
LOSSES = {"last": "the loss of the final weights", "best": "the lowest loss of a run"}


def transfer_text(found: Transfer) -> str:
    """The answer of `lrsearch transfer`."""
    lines = [_first(found), _origin(found)]
    if found.answer is not None:
        lines += _said(found.answer, found)
    if found.objectives is not None and found.objectives.is_apart:
        lines.append(_apart(found.objectives))
    if found.lost:
        lost = counted(found.lost, "run")
        lines.append(f"{lost} diverged or failed, and count as a loss far above the best")
    lines.append(_cost(found))
    return "\n".join(lines)


def _apart(objectives: Both) -> str:
    """The two objectives ask for other rates: which is meant is the reader's to say."""
    at, other = objectives.at, OTHER[objectives.at]
    lr, other_lr = learning_rate(objectives.lr), learning_rate(objectives.other)
    return (
        f"objective: by `{at}`, {LOSSES[at]}, the runs ask for lr {lr}, by `{other}`, "
        f"{LOSSES[other]}, for {other_lr}; this answer is by `{at}`: if the other weights are "
        f"those that you use, give --objective {other}"
    )


def transfer_sentence(found: Transfer) -> str:
    """The learning rate of the long run, and what speaks against relying on it."""
    lines, said = [_first(found)], found.answer
    if said is not None:
        lines += [COVERS] if said.lr is not None and not said.is_guess else []
        lines += [flag_line(flag, said, found.field.unit) for flag in said.flags]
    return " ".join(f"{line[0].upper()}{line[1:]}." for line in lines)


def _first(found: Transfer) -> str:
    said, ladder, unit = found.answer, found.ladder, found.field.unit
    if said is None or said.lr is None or said.interval is None:
        return f"no lr for {ladder.to} {unit}: {found.refusal}"
    interval = between(said.interval)
    if not said.is_guess:
        runs = counted(sum(point.runs for point in said.probes), "run")
        return (
            f"lr for {ladder.to} {unit}: {learning_rate(said.lr)} (90 %: {interval}), the best of "
            f"{runs} of {ladder.to} {unit}"
        )
    return (
        f"guess for {ladder.to} {unit}: lr {learning_rate(said.lr)} (90 %: {interval}); no run of "
        f"{ladder.to} {unit} stands behind it"
    )


def between(interval: tuple[float, float]) -> str:
    return f"{learning_rate(interval[0])} .. {learning_rate(interval[1])}"


def _origin(found: Transfer) -> str:
    recipe = Recipe.from_dict(found.field.recipe)
    parts = [recipe.optimizer_name, recipe.schedule_name]
    parts += [f"batch size {recipe.batch_size}"] if recipe.batch_size else []
    objective = found.spec.objective
    loss = "of the final weights" if objective.at == "last" else "at its lowest in each run"
    short = ", ".join(map(str, found.ladder.horizons))
    return (
        f"recipe of study {found.field.of}: {', '.join(parts)}; short runs of {short} "
        f"{found.field.unit}; {objective.metric} {loss}"
    )


def _said(said: Answer, found: Transfer) -> list[str]:
    unit = found.field.unit
    best = "; ".join(
        f"{rung.horizon}: {learning_rate(rung.lr)} ({between(rung_interval(rung))})"
        for rung in said.rungs
    )
    lines = [f"best lr by {unit} (90 %): {best}", _predicted(said), _guides(said, unit)]
    if said.ladder.batch is not None:
        lines[1:1] = batch_line(said.ladder.batch, said.longest.horizon, unit)
    if said.probes:
        lines.append(_probes(said, unit))
    if said.lr is not None and said.interval is not None:
        lines.append(_wrong(said, unit))
        if not said.is_guess:
            lines.append(COVERS)
    return lines + [flag_line(flag, said, unit) for flag in said.flags]


def _predicted(said: Answer) -> str:
    branch = said.predicted.likeliest
    lr, limits = learning_rate(math.exp(branch.x)), LIMITS[branch.regime.name]
    probability = f"{branch.probability:.2f}"
    return f"predicted from these: {lr}, as {limits}, probability {probability}"


def _guides(said: Answer, unit: str) -> str:
    names = {"same lr": f"same lr as at {said.longest.horizon} {unit}"}
    told = "; ".join(f"{names.get(k, k)}: {learning_rate(lr)}" for k, lr in said.guides.items())
    if said.interval is None:
        return told
    low, high = said.interval
    inside = [name for name, lr in said.guides.items() if low <= lr <= high]
    return f"{told}; inside the interval: {', '.join(inside) or 'none'}"


def _probes(said: Answer, unit: str) -> str:
    best = min(point.y for point in said.probes)
    told = []
    for point in said.probes:
        above = "best" if point.y == best else f"+{_rise(math.expm1(point.y - best))} %"
        told.append(f"{learning_rate(point.lr)} {'diverged' if point.diverged else above}")
    return f"runs of {said.ladder.to} {unit}: {', '.join(told)}"


def _rise(share: float) -> str:
    """A loss above another, in per cent: it may be far more than 100."""
    return percent(share) if share < 0.995 else f"{100 * share:.0f}"


def _wrong(said: Answer, unit: str) -> str:
    """What picking an end of the interval costs, where the curve is as it was measured."""
    assert said.interval is not None
    rises = [_rise(said.rise(lr) - 1) for lr in said.interval]
    return (
        f"at the ends of the interval the loss is about {rises[0]} % and {rises[1]} % higher, if "
        f"its curve is that of {said.optima[-1].horizon} {unit}"
    )


def flag_line(flag: Flag, said: Answer, unit: str) -> str:
    """What speaks against relying on the law, one line."""
    to, longest = said.ladder.to, said.longest
    if flag == "kink":
        return (
            f"kink: the best lr bends below {longest.horizon} {unit}, and may bend again before "
            f"{to}"
        )
    if flag == "regimes":
        told = "; ".join(
            f"{branch.regime.name} {learning_rate(math.exp(branch.x))} "
            f"(probability {branch.probability:.2f})"
            for branch in said.predicted.branches
        )
        return f"regimes: the short runs leave open what limits: {told}"
    if flag == "overfit":
        return (
            f"overfit: the best lr falls as one over the horizon, as where overfitting limits; "
            f"{_shorter(said, unit)}"
        )
    if flag == "vague":
        factor = f"{math.exp(longest.spread):.2g}"
        return (
            f"vague: the best lr of {longest.horizon} {unit} is known within a factor {factor} "
            f"only (one standard deviation), so the runs of {to} {unit} may have missed a better "
            f"one; more seeds narrow it"
        )
    return (
        f"disagree: a run of {to} {unit} beats the predicted lr by more than seeds differ; the law "
        f"bends above {longest.horizon} {unit}"
        f"{'' if said.ladder.batch is None else ', or the rule for the batch misses here'}"
    )


def _shorter(said: Answer, unit: str) -> str:
    """Whether a shorter run is as good, as far as it was measured."""
    best, last = min(said.optima, key=lambda rung: rung.best.y), said.optima[-1]
    loss = number(math.exp(best.best.y))
    if best is last:
        return f"yet the longest runs so far, of {last.horizon} {unit}, have the least loss, {loss}"
    return (
        f"a shorter run is as good: the least loss, {loss}, is that of {best.horizon} {unit} at lr "
        f"{learning_rate(best.best.lr)}"
    )


def _cost(found: Transfer) -> str:
    cost, ladder, unit = found.cost, found.ladder, found.field.unit
    return f"cost: {cost_text(cost, ladder, unit)}"


def cost_text(cost: Cost, ladder: Ladder, unit: str) -> str:
    """`64 epochs of short runs, 192 of runs of 64 epochs = 4.0 long runs; 25 runs`"""
    probes = f", {amount(cost.probes)} of runs of {ladder.to} {unit}" if cost.probes else ""
    total = amount(cost.total / ladder.to)
    runs = counted(cost.runs, "run")
    return f"{amount(cost.ladder)} {unit} of short runs{probes} = {total} long runs; {runs}"


def plan_text(name: str, ladder: Ladder, unit: str, notes: Sequence[str] = ()) -> str:
    """What the ladder will train, before anything is trained; `notes` are lines below it."""
    counts = ", ".join(
        f"{ladder.points(i) * ladder.seeds} of {horizon}" for i, horizon in enumerate(ladder.rungs)
    )
    batch = [] if ladder.batch is None else rule_line(ladder.batch, ladder.horizons[-1], unit)
    trunk = [] if ladder.trunk is None else [TRUNK]
    return "\n".join(
        [
            f"study {name}: runs of so many {unit}: {counts}; the learning rate is centred on "
            f"{learning_rate(ladder.centre)}",
            *batch,
            *trunk,
            f"expected: {cost_text(expected_cost(ladder), ladder, unit)}",
            f"at most: {cost_text(worst_cost(ladder), ladder, unit)}",
            *notes,
        ]
    )
