"""Commands on a study file: run, check, range-test."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrsearch.cli import machine_options, options
from lrsearch.cli.options import common, file_argument, json_option, print_json, silent_verbose
from lrsearch.cli.output import say

if TYPE_CHECKING:
    from lrsearch.preflight.checked import Checked
    from lrsearch.preflight.measure import TrialMemory
    from lrsearch.report.page.renderers import Renderers
    from lrsearch.run_study import Outcome
    from lrsearch.spec.validation_plan import ValidationShare
    from lrsearch.worker.resources import Resources

#: Recipes that `check --plot` draws.
PREVIEWED = 12


@click.command()
@file_argument
@functools.partial(machine_options.resources_options, loads_early=True)
@click.option(
    "--runs", type=int, metavar="N", help="Budget: the epochs of N full trainings, all included."
)
@click.option(
    "--trials", type=int, metavar="N", help="Budget: N trials in all, in place of the file's."
)
@options.new_name_option
@options.report_option
@json_option
@common
def run(
    file: Path,
    resources: "Resources",
    runs: int | None,
    trials: int | None,
    name: str | None,
    out: Path | None,
    as_json: bool,
    storage: str | None,
) -> None:
    """Search, confirm the best recipes, and write a report.

    The command creates the study of FILE, trains the best recipes again with fresh seeds, and
    prints the answer. The same command goes on where it was interrupted; a larger --runs or
    --trials adds to the budget. -v adds to the answer how it was chosen.

    \b
    Example:
      lrsearch run studies/digits.yaml --workers 2
    """
    options.at_least_one({"--runs": runs, "--trials": trials})
    from lrsearch.report.page.renderers import Renderers

    given = {"runs": runs, "trials": trials}
    totals = {field: total for field, total in given.items() if total is not None}
    with Renderers() as renderers:
        checked = options.trained_file(
            file,
            name=name,
            totals=totals,
            resources=resources,
            storage=storage,
            meanwhile=functools.partial(_get_ready, renderers),
        )
        search(checked, resources, out=out, as_json=as_json, storage=storage, renderers=renderers)


def _get_ready(renderers: "Renderers") -> None:
    """Load what the command needs later on, and let processes get ready that render its report."""
    from lrsearch import run_study  # noqa: F401
    from lrsearch.report.page import page  # noqa: F401

    renderers.begin()


def search(
    checked: "Checked",
    resources: "Resources",
    *,
    out: Path | None,
    as_json: bool,
    storage: str | None,
    renderers: "Renderers | None" = None,
) -> None:
    """Train a study until its budget is used, and print the answer."""
    from lrsearch.cli.terminal import Terminal
    from lrsearch.report import files
    from lrsearch.run_study import run_study

    report_to, terminal = files.report_folder(checked.spec.name, out), Terminal(quiet=as_json)
    outcome = run_study(
        checked,
        storage,
        resources,
        report_to=report_to,
        renderers=renderers,
        progress=terminal,
    )
    print_outcome(outcome, as_json=as_json)


def print_outcome(outcome: "Outcome", *, as_json: bool) -> None:
    from lrsearch.report.documents import reviewed_document
    from lrsearch.report.text import answer

    assert outcome.folder is not None  # a report was asked for
    folder = outcome.folder.absolute()
    page = folder / "report.html"
    if as_json:
        print_json({**reviewed_document(outcome.report), "report": str(page)})
        return
    text = answer.answer_text(
        outcome.report,
        folder=folder,
        wall_seconds=outcome.wall_seconds,
        verbose=options.is_verbose(),
    )
    say(text, link=page)


@click.command()
@file_argument
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the learning rate and momentum of 12 sampled recipes into this file: PNG, SVG or "
    "PDF, as its name ends.",
)
@click.option(
    "--time",
    "timed",
    is_flag=True,
    help="Time one epoch. Tell how long the study takes, and how many trials at once fit in the "
    "memory.",
)
@machine_options.device_option
@json_option
@silent_verbose
def check(file: Path, plot: Path | None, timed: bool, device: str, as_json: bool) -> None:
    """Check a study file and tell what the study will cost.

    The command trains one batch, or one epoch with --time, and writes no database. It warns of
    ranges, budgets and pairs of optimizer and schedule that rarely do well.

    \b
    Example:
      lrsearch check studies/digits.yaml --plot digits.png --time
    """
    checked = options.checked_file(file, device=device, proves=True)
    from lrsearch.preflight.measure import seconds_per_epoch, trial_memory

    if plot is not None:
        _draw(checked, plot)
    seconds = seconds_per_epoch(checked, device) if timed else None
    memory = trial_memory(checked, device) if timed else None
    warnings = _print_plan(checked, seconds, memory, as_json=as_json)
    if as_json:
        return
    if plot is not None:
        say(f"picture: {plot}")
    say(f"{file}: {warnings or 'no'} warning{'' if warnings == 1 else 's'}")


def _draw(checked: "Checked", plot: Path) -> None:
    from lrsearch.report.plots.sampled_schedules import save_preview
    from lrsearch.spec.sample_recipes import sample

    recipes = sample(checked.spec, PREVIEWED, checked.batch_size)
    save_preview(recipes, checked.steps_per_epoch, plot)


def _print_plan(
    checked: "Checked", seconds: float | None, memory: "TrialMemory | None", *, as_json: bool
) -> int:
    """Print the plan and the warnings; how many warnings there are."""
    from lrsearch.advice.cost import cost_plan
    from lrsearch.advice.lint import Scale, lint
    from lrsearch.report.text import plan as text_plan
    from lrsearch.report.text.rung_samples import validation_lines

    plan = cost_plan(checked.spec, checked.steps_per_epoch)
    step_samples = (checked.batch_size or 0) * checked.spec.accumulate or None
    share = _validation_share(checked)
    scale = Scale(steps_per_epoch=checked.steps_per_epoch, batch_size=step_samples)
    warnings = [*checked.warnings, *lint(checked.spec, scale)]
    if as_json:
        document = text_plan.plan_json(checked.spec, plan, warnings, seconds, share)
        print_json({**document, "memory": None if memory is None else vars(memory)})
        return len(warnings)
    say(text_plan.plan_text(checked.spec, plan, seconds_per_epoch=seconds))
    if memory is not None:
        say(text_plan.memory_text(memory.estimated_bytes, memory.most_at_once))
    for line in validation_lines(checked.spec, checked.steps_per_epoch, share):
        say(line)
    for note in checked.notes:
        say(f"note: {note}")
    for warning in warnings:
        say(f"warning: {warning}")
    return len(warnings)


def _validation_share(checked: "Checked") -> "ValidationShare | None":
    """None where the samples of a validation are not known."""
    from lrsearch.spec.validation_plan import validation_share

    if checked.validation_samples is None or not checked.batch_size:
        return None
    return validation_share(
        checked.spec,
        steps_per_epoch=checked.steps_per_epoch,
        batch_size=checked.batch_size,
        whole=checked.validation_samples,
    )


@click.command(name="range-test")
@file_argument
@click.option("--optimizer", metavar="NAME", help="Only this one of the space's optimizers.")
@click.option(
    "--seeds",
    type=int,
    metavar="N",
    help="Ramps of each optimizer; default one, more where they differ.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the ramps into this file: PNG, SVG or PDF, as its name ends.",
)
@machine_options.device_option
@json_option
@silent_verbose
def range_test(
    file: Path,
    optimizer: str | None,
    seeds: int | None,
    plot: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Find the learning rates at which each optimizer trains.

    A range test raises the learning rate in one short training, the ramp, until the loss explodes.
    The rates around the lowest loss, below the edge where training explodes, are the optimizer's
    window. A study searches in it. No database is needed.

    \b
    Example:
      lrsearch range-test studies/digits.yaml --plot range-test.png
    """
    _check_range_test(seeds, plot)
    checked = options.checked_file(file, device=device)
    from lrsearch.preflight import measure
    from lrsearch.report.plots.range_test import draw_range_tests
    from lrsearch.report.text.range_test import range_test_text

    results = []
    for name in measure.tested_optimizers(checked, optimizer):
        say(f"range test of {name}", err=True)
        results.append(measure.range_test(checked, name, seeds=seeds, device=device))
    if as_json:
        print_json([result.to_dict() for result in results])
    else:
        say(range_test_text(results))
    if plot is not None:
        draw_range_tests(results, plot)
        say(f"wrote {plot}", err=True)


def _check_range_test(seeds: int | None, plot: Path | None) -> None:
    from lrsearch.errors import SpecError

    if seeds is not None and seeds < 1:
        raise SpecError(f"--seeds {seeds}: at least 1 is needed")
    if plot is not None:
        from lrsearch.report.plots.looks import format_of

        format_of(plot)
        if not plot.absolute().parent.is_dir():
            raise SpecError(f"--plot {plot}: the folder {plot.parent} does not exist")


COMMANDS = (run, check, range_test)
