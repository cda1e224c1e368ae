"""Commands on studies in the shared database."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lrsearch.cli.options import (
    announce,
    common,
    file_argument,
    json_option,
    name_argument,
    open_named_study,
    print_json,
)

csv_option = click.option("--csv", "as_csv", is_flag=True, help="Comma-separated rows on stdout.")


@click.group()
def study() -> None:
    """Studies in the shared database.

    \b
    Example:
      lrsearch study show digits
    """


@study.command()
@file_argument
@click.option("--name", help="Another name for the study, in place of the file's.")
@click.option("--exist-ok", is_flag=True, help="Go on when the same study exists already.")
@common
def create(file: Path, name: str | None, exist_ok: bool, storage: str | None) -> None:
    """Create a study and print the command that starts a worker on it.

    \b
    Example:
      lrsearch study create studies/digits.yaml --name digits-2
    """
    from lrsearch.preflight import check_file
    from lrsearch.report.text.origin import origin_text
    from lrsearch.study.create import create_study
    from lrsearch.study.prepare_database import open_database

    checked = check_file(file, name=name)
    database = open_database(storage, create=True)
    announce(database)
    search, new = create_study(
        database,
        checked.spec,
        checked.loaded,
        steps_per_epoch=checked.steps_per_epoch,
        batch_size=checked.task.batch_size,
        exist_ok=exist_ok,
    )
    for line in origin_text(search.origin) if new else []:
        click.echo(line)
    click.echo(f"study {search.name} {'created' if new else 'exists'}; start workers with")
    click.echo(f"  lrsearch worker {search.name} --studies {file.parent}")


@study.command()
@name_argument
@file_argument
@json_option
@common
def extend(name: str, file: Path, as_json: bool, storage: str | None) -> None:
    """Give a study the space and budget of FILE; its trials stay as far as they lie in it.

    FILE may add optimizers and schedules, change ranges, and differ in budget, baseline, enqueue,
    warm_start and confirm; whatever else makes a trial must be as in the study. Under the same name
    the study goes on and the old one stays as NAME.1, closed; a FILE with another name makes a
    study beside it. Trials taken over count in FILE's budget, which is a total; a time budget
    begins anew. The best recipes are confirmed anew.

    \b
    Example:
      lrsearch study extend digits studies/digits.yaml
    """
    from lrsearch.preflight import check_file
    from lrsearch.report.documents import study_document
    from lrsearch.report.load import load_report
    from lrsearch.report.text.origin import extension_text
    from lrsearch.study.checkpoint_cleanup import sweep_closed
    from lrsearch.study.extend import extend_study
    from lrsearch.study.status import reap

    search = open_named_study(storage, name, quiet=as_json)
    checked = check_file(file)
    reap(search)
    done = extend_study(
        search, checked.spec, checked.loaded, steps_per_epoch=checked.steps_per_epoch
    )
    sweep_closed(search)
    study = load_report(search.database, done.name)
    if as_json:
        print_json({**done.to_dict(), "budget": study_document(study)["budget"]})
    else:
        click.echo(extension_text(done, study.budget, file))


@study.command(name="list")
@json_option
@common
def list_studies(as_json: bool, storage: str | None) -> None:
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
        print_json([study_document(study) for study in found])
        return
    for study in found:
        click.echo(study_line(study))


@study.command()
@name_argument
@json_option
@common
def show(name: str, as_json: bool, storage: str | None) -> None:
    """Show a study: state, budget, cost, best and confirmed recipes.

    \b
    Example:
      lrsearch study show digits --json
    """
    from lrsearch.report.documents import reviewed_document
    from lrsearch.report.load import report_of
    from lrsearch.report.text import answer

    study = report_of(open_named_study(storage, name, quiet=as_json))
    if as_json:
        print_json(reviewed_document(study))
    else:
        click.echo(answer.study_text(study))


@study.command()
@name_argument
@json_option
@csv_option
@common
def trials(name: str, as_json: bool, as_csv: bool, storage: str | None) -> None:
    """List every trial of a study with its state, value and recipe.

    \b
    Example:
      lrsearch study trials digits --csv
    """
    from lrsearch.recipe.recipe import Recipe
    from lrsearch.report.summary import trial_rows

    search = open_named_study(storage, name, quiet=as_json or as_csv)
    rows = trial_rows(search)
    if as_json:
        print_json(rows)
    elif as_csv:
        keys = ("trial", "state", "value", "epochs", "attempts", "reason", "seconds", "recipe")
        _print_csv(keys, [{**row, "recipe": _compact(row["recipe"])} for row in rows])
    else:
        for row in rows:
            value = "-" if row["value"] is None else f"{row['value']:.4g}"
            recipe = Recipe.from_dict(row["recipe"]).title() if row["recipe"] else "-"
            reason = f"  ({row['reason']})" if row["reason"] else ""
            click.echo(f"{row['trial']!s:>5}  {row['state']:<8}  {value:>9}  {recipe}{reason}")


@study.command()
@name_argument
@click.option("--trial", type=int, help="Only this trial.")
@click.option("--all-attempts", is_flag=True, help="Also rows that a later attempt replaced.")
@json_option
@csv_option
@common
def curves(
    name: str,
    trial: int | None,
    all_attempts: bool,
    as_json: bool,
    as_csv: bool,
    storage: str | None,
) -> None:
    """Print learning curves: one row per trial and validation.

    \b
    Example:
      lrsearch study curves digits --trial 3 --csv
    """
    from lrsearch.report.summary import curve_rows

    search = open_named_study(storage, name, quiet=as_json or as_csv)
    rows, keys = curve_rows(search, number=trial, all_attempts=all_attempts)
    if as_json:
        print_json(rows)
    else:
        _print_csv(keys, rows)


def _state_command(verb: str, state: str, text: str) -> click.Command:
    @click.command(name=verb, help=f"{text}\n\n\b\nExample:\n  lrsearch study {verb} digits")
    @name_argument
    @common
    def command(name: str, storage: str | None) -> None:
        from lrsearch.storage import studies
        from lrsearch.trial.states import StudyState

        search = open_named_study(storage, name)
        with search.database.begin() as connection:
            studies.set_state(connection, search.study_id, StudyState(state))
        click.echo(f"study {name} is {state}")

    return command


study.add_command(
    _state_command("stop", "stopped", "End the search now; workers finish what runs and confirm.")
)
study.add_command(_state_command("pause", "paused", "Start no new trials until `study resume`."))
study.add_command(_state_command("resume", "open", "Let a paused or stopped study go on."))


@study.command()
@name_argument
@json_option
@common
def repair(name: str, as_json: bool, storage: str | None) -> None:
    """Free what dead workers held, recount the budget, check every trial; safe beside workers.

    \b
    Example:
      lrsearch study repair digits
    """
    from lrsearch.errors import StudyError
    from lrsearch.study.repair import repair as look_over

    search = open_named_study(storage, name, quiet=as_json)
    found = look_over(search)
    if as_json:
        print_json(found.to_dict())
    else:
        for line in found.done:
            click.echo(line)
        click.echo(f"study {name}: {'mended' if found.done else 'nothing to mend'}")
    if found.wrong:
        raise StudyError(f"study {name!r}: {'; '.join(found.wrong)}")


@study.command()
@name_argument
@click.option("--yes", is_flag=True, help="Needed: what is deleted cannot be restored.")
@common
def delete(name: str, yes: bool, storage: str | None) -> None:
    """Delete a study with its trials, curves and confirmations.

    \b
    Example:
      lrsearch study delete digits --yes
    """
    from lrsearch.errors import StudyError
    from lrsearch.study.checkpoint_cleanup import delete_study

    search = open_named_study(storage, name)
    if not yes:
        raise StudyError(f"deleting study {name!r} cannot be undone; add --yes to do it")
    delete_study(search)
    click.echo(f"study {name} deleted")


def _compact(value: Any) -> str:
    import json

    return json.dumps(value, separators=(",", ":"))


def _print_csv(keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, keys, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    click.echo(text.getvalue(), nl=False)


COMMANDS = (study,)
