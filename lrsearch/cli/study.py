"""Commands on studies in the database: create, extend, and what reads them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli import compare, options, project, study_state
from lrsearch.cli.listing import Group
from lrsearch.cli.options import (
    announce,
    common,
    csv_option,
    file_argument,
    json_option,
    name_argument,
    open_named_study,
    open_stored_study,
    print_json,
)
from lrsearch.cli.output import csv_text, say
from lrsearch.cli.reading import reading

if TYPE_CHECKING:
    from lrsearch.storage.location import Location


@click.group(cls=Group)
def study() -> None:
    """Create, read, change and delete studies.

    \b
    Example:
      lrsearch study show digits
    """


for command in (*study_state.COMMANDS, *compare.COMMANDS, project.limit_study):
    study.add_command(command)


@study.command()
@file_argument
@options.new_name_option
@click.option("--exist-ok", is_flag=True, help="Accept that the same study exists already.")
@common
def create(file: Path, name: str | None, exist_ok: bool, storage: str | None) -> None:
    """Create a study that workers can train.

    The command prints the one that starts a worker.

    \b
    Example:
      lrsearch study create studies/digits.yaml --name digits-2
    """
    checked = options.trained_file(file, name=name, storage=storage)
    from lrsearch.cli.terminal import Terminal
    from lrsearch.run_study import create as create_it
    from lrsearch.spec.shipped_studies import SHIPPED

    created = create_it(checked, storage, exist_ok=exist_ok, progress=Terminal())
    name = created.study.name
    say(f"study {name} {'created' if created.is_new else 'exists'}; start workers with")
    beside = "" if file.parent == SHIPPED else f" --task-dir {file.parent}"
    say(f"  lrsearch worker {name}{beside}")


@study.command()
@name_argument
@file_argument
@json_option
@common
def extend(name: str, file: Path, as_json: bool, storage: str | None) -> None:
    """Change a study's space and budget, and keep its trials.

    The study gets those of FILE, which may add optimizers and schedules, change ranges, and differ
    in budget, baseline, enqueue, warm_start and confirm. Everything else must be as in the study.
    The study goes on under its name, and the old one stays as NAME.1, closed; a FILE with another
    name makes a second study. Trials outside the new space stay behind. The others count in FILE's
    budget, which is a total; a time budget begins anew. The best recipes are confirmed anew.

    \b
    Example:
      lrsearch study extend digits studies/digits.yaml
    """
    study = open_named_study(storage, name, quiet=as_json)
    checked = options.checked_file(file)
    from lrsearch.report.documents import study_document
    from lrsearch.report.load import load_report
    from lrsearch.report.text.origin import extension_text
    from lrsearch.run_study import extend as extend_it

    done = extend_it(study, checked)
    report = load_report(study.database, done.name)
    if as_json:
        print_json({**done.to_dict(), "budget": study_document(report)["budget"]})
    else:
        say(extension_text(done, report.budget, file))


@study.command(name="list")
@json_option
@reading
def list_studies(as_json: bool, storage: "Location") -> None:
    """List the studies of the database.

    \b
    Example:
      lrsearch study list --json
    """
    from lrsearch.report.documents import study_document
    from lrsearch.report.load import reports
    from lrsearch.report.text.answer import study_line
    from lrsearch.study.prepare_database import open_database

    database = open_database(storage)
    announce(database, quiet=as_json)
    found = reports(database)
    if as_json:
        print_json([study_document(report) for report in found])
        return
    for report in found:
        say(study_line(report))


@study.command()
@name_argument
@json_option
@reading
def show(name: str, as_json: bool, storage: "Location") -> None:
    """Show a study: state, budget, and the answer so far.

    -v adds how the recipe was chosen, the range tests and how the trials were trained.

    \b
    Example:
      lrsearch study show digits --json
    """
    from lrsearch.report.documents import reviewed_document
    from lrsearch.report.load import report_of
    from lrsearch.report.text import answer

    report = report_of(open_stored_study(storage, name, quiet=as_json))
    if as_json:
        print_json(reviewed_document(report))
    else:
        say(answer.study_text(report, verbose=options.is_verbose()))


@study.command()
@name_argument
@json_option
@csv_option
@reading
def trials(name: str, as_json: bool, as_csv: bool, storage: "Location") -> None:
    """List the trials of a study with state, value and recipe.

    \b
    Example:
      lrsearch study trials digits --csv
    """
    from lrsearch.recipe.recipe import Recipe
    from lrsearch.report.summary import trial_rows

    rows = trial_rows(open_stored_study(storage, name, quiet=as_json or as_csv))
    if as_json:
        print_json(rows)
    elif as_csv:
        keys = ("trial", "state", "value", "epochs", "attempts", "reason", "seconds", "recipe")
        say(csv_text(keys, [{**row, "recipe": _compact(row["recipe"])} for row in rows]), nl=False)
    else:
        for row in rows:
            value = "-" if row["value"] is None else f"{row['value']:.4g}"
            recipe = Recipe.from_dict(row["recipe"]).title() if row["recipe"] else "-"
            reason = f"  ({row['reason']})" if row["reason"] else ""
            say(f"{row['trial']!s:>5}  {row['state']:<8}  {value:>9}  {recipe}{reason}")


@study.command()
@name_argument
@click.option("--trial", type=int, metavar="N", help="Print this trial alone.")
@click.option(
    "--all-attempts", is_flag=True, help="Print also the rows that a later attempt replaced."
)
@json_option
@csv_option
@reading
def curves(
    name: str,
    trial: int | None,
    all_attempts: bool,
    as_json: bool,
    as_csv: bool,
    storage: "Location",
) -> None:
    """Print learning curves: one row per trial and validation.

    \b
    Example:
      lrsearch study curves digits --trial 3 --csv
    """
    from lrsearch.report.summary import curve_rows

    study = open_stored_study(storage, name, quiet=as_json or as_csv)
    rows, keys = curve_rows(study, number=trial, all_attempts=all_attempts)
    if as_json:
        print_json(rows)
    else:
        say(csv_text(keys, rows), nl=False)


@study.command()
@name_argument
@click.option("--tensorboard", metavar="FOLDER", help="A folder, in place of the study's own.")
@click.option("--mlflow", metavar="URI", help="A tracking URI, in place of the study's own.")
@click.option("--wandb", metavar="PROJECT", help="A project, in place of the study's own.")
@common
def log(
    name: str, tensorboard: str | None, mlflow: str | None, wandb: str | None, storage: str | None
) -> None:
    """Send the ended trials of a study to TensorBoard, MLflow or Weights & Biases.

    Workers do this while they train, where the study file has `log`. This command sends what they
    could not, or all of a study that has no `log`. What is there already is not sent twice.

    \b
    Example:
      lrsearch study log digits --tensorboard runs
    """
    from lrsearch.loggers.send_study import send_study
    from lrsearch.spec.log import Log

    study = open_stored_study(storage, name)
    given = {"tensorboard": tensorboard, "mlflow": mlflow, "wandb": wandb}
    own = {tracker: where for tracker, where in given.items() if where is not None}
    log = Log.from_dict(own) if own else study.spec.log
    if not log.trackers:
        raise click.UsageError(f"study {name} has no log; give --tensorboard, --mlflow or --wandb")
    for sent in send_study(study, log):
        say(
            f"{sent.where}: has {sent.trials} ended trials and {sent.confirmations} confirmation "
            f"runs"
        )


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


COMMANDS = (study,)
