"""What stands with each picture of a report."""

from dataclasses import dataclass

from lrsearch.catalog.script import in_words
from lrsearch.command.template import placeholders
from lrsearch.report.model import Report
from lrsearch.report.shown import shown_trials
from lrsearch.report.text.format import number


@dataclass(frozen=True, kw_only=True)
class Caption:
    """The words of a picture."""

    #: Of its file.
    name: str
    title: str
    #: What it shows, for those who cannot see it.
    alt: str
    text: str


def captions(report: Report) -> list[Caption]:
    """Of the pictures that there is something to draw for, in their order."""
    found = [_history(report), *_of_the_best(report), _lr_value(report)]
    if report.spec.program == "command":  # whose script decides the learning rate of each step
        found = [caption for caption in found if caption.name != "lr"]
    if any(len(entry.seeds) > 1 for entry in report.confirmed):
        names = ", ".join(f"trial {entry.trial}" for entry in report.confirmed)
        found.append(
            Caption(
                name="confirmation",
                title="Confirmation, seed by seed",
                alt=f"{report.metric} of every confirmation run that reports: {names}.",
                text="Neither the search nor the choice used these seeds. A line joins the runs of "
                f"one seed{_same(report)}.",
            )
        )
    tested = [test.optimizer for test in report.range_tests if test.result is not None]
    if tested:
        names = ", ".join(tested)
        found.append(
            Caption(
                name="range_test",
                title="Range test",
                alt=f"Training loss against learning rate, a panel per optimizer: {names}.",
                text="A fresh model is trained while lr rises by 15 % each step. Nine of ten "
                "trials are drawn inside the window, the rest outside it.",
            )
        )
    return found


def _best(report: Report) -> str:
    best = report.best
    if best is None:
        return "none is complete yet"
    return f"the best is {number(best.value)} (trial {best.number})"


def _worse_edge(report: Report) -> str:
    return "top" if report.spec.objective.direction == "minimize" else "bottom"


def _history(report: Report) -> Caption:
    return Caption(
        name="history",
        title="Search",
        alt=f"{report.metric} of {len(report.trials)} trials in the order of their starts; "
        f"{_best(report)}.",
        text="A pruned trial stands at its best value until it was stopped. Diverged and failed "
        f"trials have no value and stand at the {_worse_edge(report)} edge.",
    )


def _of_the_best(report: Report) -> tuple[Caption, Caption]:
    labels = "; ".join(f"trial {trial.label}" for trial in shown_trials(report)) or "none yet"
    return (
        Caption(
            name="curves",
            title="Curves of the best trials",
            alt=f"{report.metric} against epochs for the best trials: {labels}.",
            text=_seeds_of_the_search(report),
        ),
        Caption(
            name="lr",
            title="Learning rates of the best trials",
            alt=f"Learning rate against epochs for the best trials: {labels}.",
            text="The learning rate of each step, as the scheduler sets it; for plateau, as it was "
            "recorded at the validations.",
        ),
    )


def _same(report: Report) -> str:
    """What runs of one seed have in common; of a script nobody knows."""
    if report.spec.program != "task":
        return ""
    return ": they have the same initial weights and order of the data"


def _seeds_of_the_search(report: Report) -> str:
    if report.spec.program == "task":
        return "All trials have the search's seed and the same order of the data."
    if report.spec.program == "train" or {"seed", "recipe"} & set(
        placeholders(report.spec.command)
    ):
        return "All trials have the search's seed."
    return "The command is told no seed."


def _lr_value(report: Report) -> Caption:
    ended = [trial.parsed for trial in report.trials if trial.has_ended]
    tried = sorted({recipe.optimizer_name for recipe in ended if recipe is not None})
    names = ", ".join(map(in_words, tried)) or "none yet"
    unit = "The learning rate is in torch's units, at the peak of the schedule"
    if report.spec.program == "command":
        unit = "The learning rate is the one that the command was told"
    return Caption(
        name="lr_value",
        title="Learning rate against value",
        alt=f"{report.metric} against peak learning rate, a panel per optimizer: {names}; "
        f"{_best(report)}.",
        text=f"{unit}. Trials differ in more than this. Red crosses at the {_worse_edge(report)} "
        "edge diverged.",
    )
