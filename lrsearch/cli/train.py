"""Commands that train a recipe to the end of other horizons: train, branch."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli import machine_options, options
from lrsearch.cli.options import common, json_option, name_argument, open_stored_study, print_json
from lrsearch.cli.output import say

if TYPE_CHECKING:
    from lrsearch.long_run.wanted import Wanted


#: What to train and for how long.
_WANTED = (
    click.option(
        "--recipe",
        metavar="FILE|N",
        help="YAML or JSON file with the recipe, or the number of a trial; default what the study "
        "recommends.",
    ),
    click.option("--epochs", type=int, metavar="N", help="Length of the run in epochs."),
    click.option("--steps", type=int, metavar="N", help="Length in optimizer steps."),
    click.option("--seed", type=int, metavar="SEED", help="Seed of the run; default the study's."),
    click.option("--name", "run_name", help="Name of the run's study; default NAME-train-EPOCHS."),
)


def _wanted(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `_WANTED`, which become one argument, `wanted`."""

    @functools.wraps(command)
    def parsed(
        *arguments: Any, recipe: str | None, seed: int | None, run_name: str | None, **others: Any
    ) -> Any:
        from lrsearch.long_run.wanted import Wanted

        length = {unit: others.pop(unit) for unit in ("epochs", "steps")}
        is_trial = recipe is not None and recipe.isdecimal()
        file = None if recipe is None else Path(recipe)
        what = int(recipe or 0) if is_trial else file
        wanted = Wanted(recipe=what, seed=seed, name=run_name, **length)
        return command(*arguments, wanted=wanted, **others)

    for option in reversed(_WANTED):
        parsed = option(parsed)
    return parsed


@click.command()
@name_argument
@_wanted
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Write the weights as a state dict for torch.load, and the recipe beside it.",
)
@machine_options.device_option
@machine_options.task_dir_option
@options.report_option
@json_option
@common
def train(
    name: str,
    wanted: "Wanted",
    save: Path | None,
    device: str,
    task_dir: Path | None,
    out: Path | None,
    as_json: bool,
    storage: str | None,
) -> None:
    """Train one recipe of a study for as long as you want.

    The run is the only trial of a study of its own: it has checkpoints, a curve and a report, any
    worker can go on with it, and the same command goes on where it was interrupted. --save writes
    the weights that the study's objective names: those of the best validation, or of the last.

    \b
    Example:
      lrsearch train digits --epochs 120 --save model.pt
    """
    source = open_stored_study(storage, name, quiet=as_json)
    options.say_loading()
    from lrsearch.long_run import text
    from lrsearch.long_run.train import begin, check_save
    from lrsearch.long_run.train import train as train_run
    from lrsearch.report import files

    check_save(source, save)
    report_to = files.report_folder(wanted.study_name(name), out)
    run = begin(source, wanted, task_dir=task_dir)
    if not as_json:
        say(text.begin_text(run))
    how = _how(device, as_json=as_json)
    trained = train_run(run, task_dir=task_dir, report_to=report_to, **how)
    saved = None if save is None else trained.save(save)
    if as_json:
        print_json(text.document(trained, saved))
    else:
        say(text.end_text(trained, saved))


def _how(device: str, *, as_json: bool) -> dict[str, Any]:
    """With one worker, which trains a trial alone."""
    from lrsearch.cli.terminal import Terminal
    from lrsearch.worker.resources import Resources

    resources = Resources.parse(workers=1, device=device, fuse="off")
    return {"resources": resources, "progress": Terminal(quiet=as_json)}


def _lengths(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Numbers of epochs, with commas between them."""
    try:
        return tuple(int(word) for word in value.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{value!r}: numbers of epochs such as 8,16,32 are accepted"
        ) from None


@click.command()
@name_argument
@click.argument("number", metavar="TRIAL", type=int)
@click.option(
    "--at",
    callback=_lengths,
    required=True,
    metavar="N,N,...",
    help="Lengths of the runs in epochs, two or more.",
)
@click.option("--seed", type=int, metavar="SEED", help="Seed of the runs; default the study's.")
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the weights, at-8.pt and its like, and the recipes beside them.",
)
@machine_options.device_option
@machine_options.task_dir_option
@json_option
@common
def branch(
    name: str,
    number: int,
    at: tuple[int, ...],
    seed: int | None,
    save: Path | None,
    device: str,
    task_dir: Path | None,
    as_json: bool,
    storage: str | None,
) -> None:
    """Train a trial's recipe over several lengths in one go.

    The trial's schedule is wsd: warm-up, a constant learning rate, then a decay at the end. Runs of
    all lengths train the same steps before they decay, so each goes on from the checkpoint of the
    one before it, and ends with the weights of a run from step 0.

    \b
    Example:
      lrsearch branch digits 17 --at 8,16,32 --save models
    """
    source = open_stored_study(storage, name, quiet=as_json)
    options.say_loading()
    from lrsearch.long_run import branch as branches
    from lrsearch.long_run import text

    branches.check_folder(save)
    tree = branches.tree_of(source, number, at, seed)
    if not as_json:
        say(text.tree_text(tree))
    how, found = _how(device, as_json=as_json), []
    for each in branches.train_branches(source, tree, save=save, task_dir=task_dir, **how):
        found.append(each)
        if not as_json:
            say(text.branch_text(each, tree.steps_per_epoch))
    if as_json:
        print_json(text.tree_document(tree, found))
    else:
        say(text.cost_text(tree, found))


COMMANDS = (train, branch)
