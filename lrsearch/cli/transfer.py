"""The command on the learning rate of a longer run: transfer."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli import machine_options, options
from lrsearch.cli.options import common, json_option, name_argument, open_stored_study, print_json
from lrsearch.cli.output import say

if TYPE_CHECKING:
    from lrsearch.recipe.recipe import Recipe
    from lrsearch.report.model import Report
    from lrsearch.spec.study_spec import StudySpec
    from lrsearch.study.stored_study import StoredStudy
    from lrsearch.transfer.asked import Asked
    from lrsearch.worker.resources import Resources


ASKED = (
    click.option(
        "--to",
        type=int,
        metavar="EPOCHS",
        help="Length of the long run; in steps where the horizons are.",
    ),
    click.option(
        "--horizons",
        metavar="1,2,4,8",
        help="Lengths of the short runs, each about twice the one before; default an eighth of "
        "--to, a sixteenth, and so on.",
    ),
    click.option(
        "--probes",
        type=int,
        metavar="0|3",
        help="Long runs to begin with; 0 makes the answer a guess. Default 3.",
    ),
    click.option("--seeds", type=int, metavar="N", help="Runs of each learning rate. Default 1."),
    click.option(
        "--objective",
        metavar="last|best",
        help="Loss of the final weights, or the lowest of the run; default as in the study.",
    ),
    click.option(
        "--batch-size",
        type=int,
        metavar="N",
        help="Batch of the long run, where it is another one than in the short runs.",
    ),
    click.option(
        "--name", "own_name", metavar="NAME", help="Name of its study; default NAME-to-EPOCHS."
    ),
)


def asked_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is asked for, which becomes one argument, `asked`."""

    @functools.wraps(command)
    def parsed(
        *arguments: Any,
        to: int | None,
        horizons: str | None,
        probes: int | None,
        seeds: int | None,
        objective: str | None,
        batch_size: int | None,
        own_name: str | None,
        **others: Any,
    ) -> Any:
        from lrsearch.transfer.asked import Asked

        asked = Asked(
            to=to,
            horizons=horizons,
            probes=probes,
            seeds=seeds,
            objective=objective,
            batch_size=batch_size,
            name=own_name,
        )
        return command(*arguments, asked=asked, **others)

    for option in reversed(ASKED):
        parsed = option(parsed)
    return parsed


@click.command()
@name_argument
@click.option(
    "--recipe",
    metavar="TRIAL|FILE",
    help="Recipe whose lr is transferred: a trial's number or a YAML file; default the study's.",
)
@asked_options
@click.option("--plan", "only_plan", is_flag=True, help="Print what it costs, and train nothing.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the recipe of the long run, with the interval as a comment.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw how the best learning rate moves into this file, SVG or PNG as its name ends.",
)
@machine_options.resources_options
@machine_options.task_dir_option
@json_option
@common
def transfer(
    name: str,
    recipe: str | None,
    asked: "Asked",
    only_plan: bool,
    out: Path | None,
    plot: Path | None,
    resources: "Resources",
    task_dir: Path | None,
    as_json: bool,
    storage: str | None,
) -> None:
    """Find the learning rate of a longer run from short ones.

    A ladder of short runs of one recipe shows how its best learning rate moves with the horizon,
    the length of training. Then long runs are trained: three at and beside the predicted rate, and
    usually one to three more around the best. The best of them is the run that you want. All are
    trials of a study NAME-to-EPOCHS, which any worker may train. The same command goes on where it
    was interrupted.

    \b
    Example:
      lrsearch transfer digits --to 64 --plan
    """
    from lrsearch.transfer.asked import asked_study

    _check_plot(plot)
    source = open_stored_study(storage, name, quiet=as_json)
    spec = asked_study(source.spec, _recipe(source, recipe), asked, source.steps_per_epoch)
    if only_plan:
        _print_plan(spec, as_json=as_json)
        return
    if not as_json:
        _print_plan(spec, as_json=False)
    files = Files(recipe=out, plot=plot)
    _climb(source, spec, resources, task_dir, as_json=as_json, files=files)


@dataclass(frozen=True, kw_only=True)
class Files:
    """What is written beside the answer."""

    recipe: Path | None
    plot: Path | None


def _check_plot(plot: Path | None) -> None:
    from lrsearch.errors import SpecError

    if plot is None:
        return
    if plot.suffix not in (".svg", ".png"):
        raise SpecError(f"--plot {plot}: a file that ends in .svg or .png is accepted")
    if not plot.absolute().parent.is_dir():
        raise SpecError(f"--plot {plot}: the folder {plot.parent} does not exist")


def _recipe(source: "StoredStudy", asked: str | None) -> "Recipe":
    from lrsearch.report.recommended import recipe_of
    from lrsearch.spec.shipped_studies import folders
    from lrsearch.task.own_code import load_recorded

    load_recorded(source.spec.own_names(), source.code, folders())
    return recipe_of(source, asked, where="--recipe")


def _print_plan(spec: "StudySpec", *, as_json: bool) -> None:
    from lrsearch.report.text.transfer import plan_text
    from lrsearch.report.transfer import plan_document
    from lrsearch.transfer.refusals import horizon_note
    from lrsearch.transfer.successor import ladder_of

    assert spec.ladder is not None
    if as_json:
        print_json(plan_document(spec))
    else:
        note = horizon_note(spec, spec.ladder.unit)
        notes = [] if note is None else [note]
        say(plan_text(spec.name, ladder_of(spec), spec.ladder.unit, notes))


def _climb(
    source: "StoredStudy",
    spec: "StudySpec",
    resources: "Resources",
    task_dir: Path | None,
    *,
    as_json: bool,
    files: Files,
) -> None:
    options.say_loading()
    from lrsearch import run_study
    from lrsearch.errors import StudyError
    from lrsearch.report.load import report_of
    from lrsearch.report.text.transfer import transfer_text
    from lrsearch.report.transfer import transfer_document, write_recipe

    study = run_study.climb(
        source, spec, resources, task_dir=task_dir, progress=run_study.ProgressBar()
    )
    report = report_of(study)
    found = report.transfer
    assert found is not None
    if as_json:
        print_json(transfer_document(found))
    else:
        say(transfer_text(found))
    if files.plot is not None:
        _draw(report, files.plot)
    if found.refusal:
        raise StudyError(f"study {spec.name!r}: {found.refusal}")
    if files.recipe is not None:
        write_recipe(found, files.recipe)
        say(f"wrote {files.recipe}", err=True)


def _draw(report: "Report", plot: Path) -> None:
    from lrsearch.errors import StudyError
    from lrsearch.report.figures import transfer as figures
    from lrsearch.report.page.charts import draw

    figure = figures.figure(report)
    if figure is None:
        raise StudyError(f"--plot {plot}: the ladder of study {report.name!r} tells nothing yet")
    drawn = draw(figure)
    if plot.suffix == ".png":
        plot.write_bytes(drawn.png())
    else:
        plot.write_text(drawn.picture, encoding="utf-8")
    say(f"wrote {plot}", err=True)


COMMANDS = (transfer,)
