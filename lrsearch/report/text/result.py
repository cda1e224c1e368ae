"""The answer of a study in sentences, the same in terminal, page, markdown, JSON and Python."""

from collections.abc import Iterator
from dataclasses import dataclass

from lrsearch.advice.outlook import Outlook
from lrsearch.confirmation.confirmed import Confirmed
from lrsearch.report.answer.gain import Gain, gain_of, recommended_trial
from lrsearch.report.answer.rankings import Ranking, optimizer_ranking, schedule_ranking
from lrsearch.report.answer.run_cost import RunCost, run_cost
from lrsearch.report.answer.safe_rates import SafeRates, safe_rates
from lrsearch.report.answer.verdict import Verdict, verdict_of
from lrsearch.report.model import Report
from lrsearch.report.text.answer_details import detail_lines
from lrsearch.report.text.cost import cost_text, run_cost_sentence
from lrsearch.report.text.doubt import doubt_lines, outlook_of
from lrsearch.report.text.format import counted, length_unit, mean, number
from lrsearch.report.text.gain import gain_sentence
from lrsearch.report.text.next_step import next_step
from lrsearch.report.text.no_answer import exhausted_lines, why_none
from lrsearch.report.text.rankings import ranking_sentences
from lrsearch.report.text.recipe_fields import fields
from lrsearch.report.text.review import warning_lines
from lrsearch.report.text.rung_samples import rung_samples_sentence
from lrsearch.report.text.safe_rates import safe_rates_sentence
from lrsearch.report.text.score import score
from lrsearch.report.text.step import NextStep
from lrsearch.spec.one_run import is_one_run


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What people read first of a study: values, and the sentences that are made of them."""

    verdict: Verdict
    heading: str
    #: The recipe in one line; None while there is none.
    recipe: str | None
    #: Its fields in detail.
    fields: tuple[tuple[str, str], ...]
    #: The trial that has it.
    trial: int | None
    #: None where there is nothing to compare it with, or the baseline failed on fresh seeds.
    gain: Gain | None
    run_cost: RunCost | None
    #: What more recipes are expected to bring; None but of a small budget that nothing confirmed.
    outlook: Outlook | None
    #: None where nothing is known.
    safe_lr: SafeRates | None
    #: Trials whose recipes the seeds do not tell from this one.
    tied: tuple[int, ...]
    #: Which optimizer did better; None where no two can be compared.
    optimizers: Ranking | None
    #: Which schedule did better with the recipe's optimizer; None where no two can be compared.
    schedules: Ranking | None
    next: NextStep
    #: The gain, or why there is no recipe; then what it costs, how sure it is, and what to do.
    lines: tuple[str, ...]
    #: What `-v` and the report show after them.
    details: tuple[str, ...]

    @property
    def title(self) -> str:
        """The first line."""
        return f"{self.heading}: {self.recipe}" if self.recipe else self.heading

    @property
    def sentences(self) -> tuple[str, ...]:
        """The whole answer, a line each."""
        return (self.title, *self.lines)


def answer(report: Report) -> Answer:
    """The confirmed recipe, else the search's best, else why there is none."""
    gain, recipe = gain_of(report), report.recommended
    verdict = verdict_of(report, gain)
    first = _first(report, gain, verdict)
    rates, cost, tied = safe_rates(report), run_cost(report), _tied_with(report)
    optimizers, schedules = optimizer_ranking(report), schedule_ranking(report)
    step, expected = next_step(report, verdict), outlook_of(report)
    known = _of_recipe(report, gain, cost, rates, tied)
    warned = [f"Warning: {line}" for line in warning_lines(report.advice)]
    ended = [*warned, *exhausted_lines(report), cost_text(report), step.sentence]
    return Answer(
        verdict=verdict,
        heading=_heading(report, verdict),
        recipe=None if recipe is None else recipe.title(),
        fields=() if recipe is None else fields(recipe, report.spec.program),
        trial=recommended_trial(report),
        gain=None if verdict == Verdict.BASELINE_WITHOUT_VALUE else gain,
        run_cost=cost,
        outlook=expected,
        safe_lr=rates,
        tied=tied,
        optimizers=optimizers,
        schedules=schedules,
        next=step,
        lines=(first, *doubt_lines(report, expected), *known, *ended),
        details=(
            *detail_lines(report),
            *_ranked(report, optimizers, schedules),
            *_compared(report),
        ),
    )


def _first(report: Report, gain: Gain | None, verdict: Verdict) -> str:
    """What the search gained, or why it has no recipe; of a ladder its learning rate."""
    if report.spec.ladder is not None:
        from lrsearch.report.text.transfer import transfer_sentence  # numpy: for ladders alone

        assert report.transfer is not None
        return transfer_sentence(report.transfer)
    if report.recommended is None:
        return why_none(report)
    if is_one_run(report.spec):
        return "The recipe was given; nothing was searched."
    return gain_sentence(report, gain, verdict)


def _heading(report: Report, verdict: Verdict) -> str:
    if report.spec.ladder is not None and report.spec.ladder.probes == 0:
        return "A guess for the long run"
    if report.recommended is None:
        return "No answer" if report.state == "finished" else "No answer yet"
    if is_one_run(report.spec):
        return "One run"
    if report.spec.ladder is not None:
        return "Best of the long runs"
    if verdict in (Verdict.UNCONFIRMED, Verdict.RUNNING):
        return "Best recipe so far"
    if verdict in (Verdict.NO_BETTER, Verdict.WORSE):
        return "Best recipe of the search"
    return "Keep your baseline" if verdict == Verdict.KEEP_BASELINE else "Best recipe"


def _tied_with(report: Report) -> tuple[int, ...]:
    winner = report.winner
    return () if winner is None or winner.reasons is None else winner.reasons.tied_with


def _of_recipe(
    report: Report,
    gain: Gain | None,
    cost: RunCost | None,
    rates: SafeRates | None,
    tied: tuple[int, ...],
) -> Iterator[str]:
    """Its score, what a training costs, which learning rates are safe, what it is tied with."""
    if report.recommended is None:
        return
    yield _value(report)
    if cost is not None:
        yield run_cost_sentence(cost, length_unit(report.spec))
    if not is_one_run(report.spec) and report.spec.ladder is None:
        yield safe_rates_sentence(report, rates)
    others = [each for each in tied if gain is None or each not in (gain.trial, gain.of)]
    if others:
        names = " and ".join(map(str, others))
        yield (
            f"Tied with trial{'' if len(others) == 1 else 's'} {names}: on the seeds that trained "
            f"both they differ by no more than noise."
        )


def _ranked(report: Report, *rankings: Ranking | None) -> list[str]:
    """How sure it is that one optimizer or schedule is better."""
    told = [ranking_sentences(ranking, report.metric) for ranking in rankings]
    return [sentences for sentences in told if sentences]


def _compared(report: Report) -> list[str]:
    """On what trials were compared at early rungs, where it was not the whole validation set."""
    said = rung_samples_sentence(report.spec, report.study.steps_per_epoch)
    return [] if said is None else [said]


def _chose(winner: Confirmed) -> str:
    """How many of the runs are no independent witnesses."""
    if not winner.chose:
        return ""
    which = "one of which" if winner.chose == 1 else f"{winner.chose} of which"
    return f", {which} also chose it between two recipes"


def _value(report: Report) -> str:
    """How good the recipe is, and how sure that is."""
    winner, best = report.winner, report.best
    if winner is not None:
        runs = f"mean and 95 % interval of {winner.n} runs with fresh seeds{_chose(winner)}"
        if winner.ci95 is None:
            runs = "one run with a fresh seed, so without an interval"
        failed = f" {counted(winner.failed, 'more run')} gave no value." if winner.failed else ""
        value = score(report, mean(winner.mean, winner.ci95), winner.metrics)
        return f"{value}: {runs}.{failed}"
    if best is None:
        return ""
    value = score(report, number(best.value), best.metrics)
    if is_one_run(report.spec):
        return f"{value}, on seed {report.spec.seed}."
    if report.spec.ladder is not None and best.parsed is not None:
        return f"{value} in trial {best.number}, on seed {best.parsed.seed}."
    return f"{value} in trial {best.number}, on the search's one seed."
