"""The command that trains one recipe for as long as it is wanted: train."""

from pathlib import Path

import click

from lrsearch.cli import options
from lrsearch.cli.options import common, json_option, name_argument, open_stored_study, print_json
from lrsearch.cli.output import say


@click.command()
@name_argument
@click.option(
    "--recipe",
    metavar="FILE|N",
    help="YAML or JSON file with the recipe, or the number of a trial; default what the study "
    "recommends.",
)
@click.option("--epochs", type=int, metavar="N", help="Length of the run.")
@click.option("--steps", type=int, metavar="N", help="Length in optimizer steps instead.")
@click.option("--seed", type=int, metavar="SEED", help="Default the study's.")
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Write the weights as a state dict for torch.load, and the recipe beside it.",
)
@click.option("--name", "run_name", help="Name of the run; default NAME-train-EPOCHS.")
@options.device_option
@options.task_dir_option
@options.report_option
@json_option
@common
def train(
    name: str,
    recipe: str | None,
    epochs: int | None,
    steps: int | None,
    seed: int | None,
    save: Path | None,
    run_name: str | None,
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
    from lrsearch.long_run.wanted import Wanted

    wanted = Wanted(
        recipe=int(recipe) if recipe is not None and recipe.isdecimal() else _path(recipe),
        epochs=epochs,
        steps=steps,
        seed=seed,
        name=run_name,
    )
    source = open_stored_study(storage, name, quiet=as_json)
    options.say_loading()
    from lrsearch.cli.terminal import Terminal
    from lrsearch.long_run import text
    from lrsearch.long_run.train import begin, check_save
    from lrsearch.long_run.train import train as train_run
    from lrsearch.report import files
    from lrsearch.worker.resources import Resources

    check_save(source, save)
    report_to = files.report_folder(wanted.study_name(name), out)
    run = begin(source, wanted, task_dir=task_dir)
    if not as_json:
        say(text.begin_text(run))
    trained = train_run(
        run,
        Resources.parse(workers=1, device=device, fuse="off"),
        task_dir=task_dir,
        report_to=report_to,
        progress=Terminal(quiet=as_json),
    )
    saved = None if save is None else trained.save(save)
    if as_json:
        print_json(text.document(trained, saved))
    else:
        say(text.end_text(trained, saved))


def _path(recipe: str | None) -> Path | None:
    return None if recipe is None else Path(recipe)


COMMANDS = (train,)
