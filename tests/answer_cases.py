"""Made-up studies for every verdict: of each the report, and what its answer says first."""

from made_reports import ACCURACY, BASELINE, made_report, runs_of, trial

from lrsearch.report.answer.verdict import Verdict
from lrsearch.trial.divergence import NOT_FINITE_AT_START

SIX = [0.30, 0.31, 0.29, 0.30, 0.32, 0.28]
LOWER = [value - 0.2 - 0.001 * i for i, value in enumerate(SIX)]
ALIKE = [0.31, 0.29, 0.30, 0.31, 0.30, 0.30]
MINE = {"baseline": BASELINE}
EXPORT = "lrsearch export tiny --format torch --out best.py"
TWICE = "lrsearch run FILE --trials 24"
CONFIRM = "lrsearch confirm tiny --runs 3"
LUCK = "the best of many trials on one seed looks better than it is"
OF_TWO = "the best of 2 trials on one seed looks better than it is"
TO_COME = "runs with fresh seeds are still to come."
OPEN = (
    "On 6 fresh seeds trial 1 is 0.00167 better in val_loss; the 95 % interval goes from 0.0164 "
    "worse to 0.0197 better."
)


def baseline(value=0.8, state="complete", **fields):
    return trial(0, value, state, kind="baseline", name="adamw", lr=1e-3, **fields)


def best(value=0.2, **fields):
    return trial(1, value, **fields)


def first(number=2, value=0.4):
    return trial(number, value, kind="portfolio")


def confirmed(mine, theirs, *, role="baseline", **changes):
    """A study whose trial 1 was confirmed beside the baseline on these values."""
    runs = runs_of(1, mine) + runs_of(0, theirs, role)
    return made_report([baseline(), best()], runs, **{**MINE, **changes})


def failing(state, reason, count=3):
    return [trial(i, None, state, lr=1.0 + i, reason=reason) for i in range(count)]


#: Of each case the report, its verdict, the second line, and the next command.
CASES = {
    "wins": (
        lambda: confirmed(LOWER, SIX),
        Verdict.BETTER,
        "0.203 better val_loss than your baseline (95 % interval 0.201 to 0.204), confirmed on 6 "
        "fresh seeds.",
        EXPORT,
    ),
    "wins upwards": (
        lambda: confirmed(SIX, LOWER, objective=ACCURACY),
        Verdict.BETTER,
        "0.203 better accuracy than your baseline (95 % interval 0.201 to 0.204), confirmed on 6 "
        "fresh seeds.",
        EXPORT,
    ),
    "tied": (
        lambda: confirmed(SIX, ALIKE),
        Verdict.NO_BETTER,
        f"No better than your baseline: keep yours. {OPEN}",
        TWICE,
    ),
    "tied on few seeds": (
        lambda: confirmed(SIX[:2], ALIKE[:2]),
        Verdict.NO_BETTER,
        "Not shown to be better than your baseline. On 2 fresh seeds trial 1 is 0.005 worse in "
        "val_loss; the 95 % interval goes from 0.196 worse to 0.186 better. So few seeds cannot "
        "tell.",
        TWICE,
    ),
    "loses": (
        lambda: confirmed(SIX, LOWER),
        Verdict.KEEP_BASELINE,
        "Your baseline is 0.203 better in val_loss than trial 1, the best that the search found "
        "(95 % interval 0.201 to 0.204, on 6 fresh seeds): keep yours.",
        TWICE,
    ),
    "loses upwards": (
        lambda: confirmed(LOWER, SIX, objective=ACCURACY),
        Verdict.KEEP_BASELINE,
        "Your baseline is 0.203 better in accuracy than trial 1, the best that the search found "
        "(95 % interval 0.201 to 0.204, on 6 fresh seeds): keep yours.",
        TWICE,
    ),
    "loses to one that failed a seed": (
        lambda: confirmed(SIX, [*LOWER[:-1], None]),
        Verdict.WORSE,
        "Your baseline is 0.202 better in val_loss than trial 1, the best that the search found "
        "(95 % interval 0.2 to 0.204, on 5 fresh seeds). But 1 more run of your baseline gave no "
        "value, so trial 1 is recommended.",
        TWICE,
    ),
    "baseline led the choice": (
        lambda: made_report([baseline(), best(0.9)], runs_of(0, SIX), **MINE),
        Verdict.KEEP_BASELINE,
        "No recipe of the search is shown to be better than your baseline: keep yours. It "
        "alone was trained on fresh seeds, since no recipe of the search did better. On the "
        "search's one seed trial 1 is 0.1 worse in val_loss.",
        TWICE,
    ),
    "baseline diverged": (
        lambda: made_report([baseline(None, "diverged"), best()], runs_of(1, SIX), **MINE),
        Verdict.BASELINE_WITHOUT_VALUE,
        "Your baseline diverged, and this recipe trains: there is no value to compare with.",
        EXPORT,
    ),
    "baseline failed": (
        lambda: made_report([baseline(None, "failed"), best()], runs_of(1, SIX), **MINE),
        Verdict.BASELINE_WITHOUT_VALUE,
        "Your baseline has no value, since it failed: the gain is not known.",
        EXPORT,
    ),
    "baseline failed every fresh seed": (
        lambda: confirmed(SIX, [None] * 6),
        Verdict.BASELINE_WITHOUT_VALUE,
        "Your baseline gave no value in 6 runs with fresh seeds, so no gain can be stated.",
        EXPORT,
    ),
    "one fresh seed for both": (
        lambda: confirmed([0.3], [0.4]),
        Verdict.ONE_SEED,
        "0.1 better val_loss than your baseline on 1 fresh seed. One seed cannot tell a difference "
        "from chance.",
        CONFIRM,
    ),
    "one fresh seed": (
        lambda: made_report([best()], runs_of(1, [0.3])),
        Verdict.ONE_SEED,
        "One fresh seed confirmed it: how much the value varies with the seed is not known.",
        CONFIRM,
    ),
    "nothing to compare with": (
        lambda: made_report([best()], runs_of(1, SIX)),
        Verdict.NO_REFERENCE,
        "There is no baseline and no recipe of a portfolio to compare it with.",
        EXPORT,
    ),
    "portfolio on the search's seed": (
        lambda: made_report([best(), first()], runs_of(1, SIX)),
        Verdict.ONE_SEED,
        "0.2 better val_loss than trial 2, the portfolio's first recipe, on the search's one seed. "
        "One seed cannot tell a difference from chance.",
        EXPORT,
    ),
    "portfolio on fresh seeds": (
        lambda: made_report(
            [best(), first(), first(3, 0.3)], runs_of(1, LOWER) + runs_of(2, SIX, "rival")
        ),
        Verdict.BETTER,
        "0.203 better val_loss than trial 2, the portfolio's first recipe (95 % interval 0.201 to "
        "0.204), confirmed on 6 fresh seeds.",
        EXPORT,
    ),
    "baseline on the search's seed": (
        lambda: made_report([baseline(), best()], runs_of(1, SIX), **MINE),
        Verdict.ONE_SEED,
        "0.6 better val_loss than your baseline on the search's one seed. One seed cannot tell a "
        "difference from chance.",
        TWICE,
    ),
    "tied with the portfolio's first": (
        lambda: made_report([best(), first()], runs_of(1, SIX) + runs_of(2, ALIKE, "rival")),
        Verdict.NO_BETTER,
        f"No better than trial 2, the portfolio's first recipe. {OPEN}",
        TWICE,
    ),
    "the portfolio's first is the best": (
        lambda: made_report([best(0.5), first()], runs_of(2, LOWER) + runs_of(1, SIX, "rival")),
        Verdict.PORTFOLIO,
        "The portfolio's first recipe is 0.203 better in val_loss than trial 1, the best that the "
        "search found (95 % interval 0.201 to 0.204, on 6 fresh seeds).",
        EXPORT,
    ),
    "not confirmed": (
        lambda: made_report([baseline(), best()], confirm=None, **MINE),
        Verdict.UNCONFIRMED,
        f"0.6 better val_loss than your baseline on the search's one seed. Not confirmed: "
        f"{OF_TWO}.",
        CONFIRM,
    ),
    "too small a budget to confirm": (
        lambda: made_report([best(), first()], budget={"trials": 2}),
        Verdict.UNCONFIRMED,
        f"0.2 better val_loss than trial 2, the portfolio's first recipe, on the search's one "
        f"seed. Not confirmed: {OF_TWO}.",
        "lrsearch run FILE --trials 4",
    ),
    "too few epochs left to confirm": (
        lambda: made_report(
            [best(), first()], budget={"epochs": 8}, study={"epochs_used": 8.0}, confirm=None
        ),
        Verdict.UNCONFIRMED,
        f"0.2 better val_loss than trial 2, the portfolio's first recipe, on the search's one "
        f"seed. Not confirmed: {OF_TWO}.",
        "lrsearch run FILE",
    ),
    "all but one pruned": (
        lambda: made_report(
            [*(trial(i, 0.1, "pruned") for i in range(11)), trial(11, 0.4)], confirm=None
        ),
        Verdict.UNCONFIRMED,
        f"There is no baseline and no recipe of a portfolio to compare it with. Not "
        f"confirmed: {LUCK}.",
        CONFIRM,
    ),
    "running": (
        lambda: made_report(
            [baseline(), best(), trial(2, state="running")], finished=False, **MINE
        ),
        Verdict.RUNNING,
        f"0.6 better val_loss than your baseline on the search's one seed. The study is not over, "
        f"and {LUCK}: {TO_COME}",
        "lrsearch status tiny",
    ),
    "nobody works on it": (
        lambda: made_report([baseline(0.1), best()], finished=False, **MINE),
        Verdict.RUNNING,
        f"This is your baseline: no other recipe was better on the search's one seed. The study "
        f"is not over, and {LUCK}: {TO_COME}",
        "lrsearch worker tiny",
    ),
    "paused": (
        lambda: made_report([best()], finished=False, study={"state": "paused"}, **MINE),
        Verdict.RUNNING,
        f"Your baseline has not been trained yet, so the gain over it is not known. The study "
        f"is paused, and {LUCK}: {TO_COME}",
        "lrsearch study resume tiny",
    ),
    "not started": (
        lambda: made_report(finished=False),
        Verdict.NOT_STARTED,
        "No trial has started yet.",
        "lrsearch worker tiny",
    ),
    "none has ended": (
        lambda: made_report([trial(0, state="running")], finished=False),
        Verdict.NONE_ENDED,
        "No trial has ended yet; 1 is in training.",
        "lrsearch status tiny",
    ),
    "none is complete": (
        lambda: made_report([trial(i, 0.5, "pruned") for i in range(3)]),
        Verdict.NONE_COMPLETE,
        "No trial was trained to its end: 3 pruned.",
        TWICE,
    ),
    "all diverged": (
        lambda: made_report(failing("diverged", "training loss is not finite by step 4")),
        Verdict.ALL_DIVERGED,
        "All 3 ended trials diverged. The lowest learning rate that was tried is 1 (sgd). Search "
        "lower ones.",
        "lrsearch range-test FILE",
    ),
    "not finite": (
        lambda: made_report(failing("diverged", NOT_FINITE_AT_START)),
        Verdict.NOT_FINITE,
        "All 3 ended trials diverged: the loss was not finite on the first batch, before any step. "
        "The learning rate is not the cause; look for NaN or infinity in the inputs, the targets "
        "and the model's output.",
        "lrsearch check FILE",
    ),
    "all failed": (
        lambda: made_report(failing("failed", "RuntimeError: out of memory")),
        Verdict.ALL_FAILED,
        "All 3 ended trials failed, each with: RuntimeError: out of memory",
        "lrsearch trial show tiny 0",
    ),
    "exhausted": (
        lambda: made_report(
            [baseline(), best()],
            runs_of(1, SIX) + runs_of(0, ALIKE, "baseline"),
            study={"state": "open", "exhausted_at": 1.0},
            told={"state": "finished"},
            **MINE,
        ),
        Verdict.NO_BETTER,
        f"No better than your baseline: keep yours. {OPEN}",
        "lrsearch study extend tiny FILE",
    ),
}


def rich_report():
    """Confirmed beside a baseline and a rival, with diverged trials and enough of one optimizer."""
    trials = [
        trial(i, 0.2 + 0.01 * abs(i - 10) ** 1.01, lr=10 ** (-3 + i / 5)) for i in range(1, 15)
    ]
    trials += [trial(15 + i, None, "diverged", lr=3.0 + i) for i in range(3)]
    runs = runs_of(10, LOWER, seconds=1.7) + runs_of(9, [v + 1e-3 for v in LOWER], "rival")
    runs += runs_of(0, SIX, "baseline")
    return made_report([baseline(), *trials], runs, **MINE)
