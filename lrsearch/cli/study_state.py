"""Commands that change the state of a study: finish, pause, resume, repair, delete."""

import click

from lrsearch.cli.options import (
    common,
    json_option,
    name_argument,
    open_named_study,
    open_stored_study,
    print_json,
)
from lrsearch.cli.output import say
from lrsearch.cli.renamed import earlier_name


def _set_state(storage: str | None, name: str, state: str) -> None:
    from lrsearch.storage import actions, studies
    from lrsearch.trial.states import StudyState

    study = open_stored_study(storage, name)
    with study.database.begin() as connection:
        studies.set_state(connection, study.study_id, StudyState(state))
        actions.record(connection, study.record.project, name, f"set to {state}")


@click.command()
@name_argument
@common
def finish(name: str, storage: str | None) -> None:
    """End the search of a study before its budget is used.

    The workers finish the trials that run, confirm the best recipes with fresh seeds, and end.
    `study resume` lets the search go on.

    \b
    Example:
      lrsearch study finish digits
    """
    _set_state(storage, name, "stopped")
    say(f"study {name} starts no more trials; its workers confirm the best recipes and end")
    say(f"if no worker runs, start one: lrsearch worker {name}")


@click.command()
@name_argument
@common
def pause(name: str, storage: str | None) -> None:
    """Start no more trials of a study until `study resume`.

    Trials that run go on to their end; the workers wait.

    \b
    Example:
      lrsearch study pause digits
    """
    _set_state(storage, name, "paused")
    say(f"study {name} is paused; `lrsearch study resume {name}` lets it go on")


@click.command()
@name_argument
@common
def resume(name: str, storage: str | None) -> None:
    """Let a paused or finished study go on.

    It ends when its budget is used; `lrsearch run FILE --trials N` gives it more.

    \b
    Example:
      lrsearch study resume digits
    """
    _set_state(storage, name, "open")
    say(f"study {name} is open")


@click.command()
@name_argument
@json_option
@common
def repair(name: str, as_json: bool, storage: str | None) -> None:
    """Release the trials of dead workers, and check every trial.

    The budget is counted again. Workers may go on meanwhile.

    \b
    Example:
      lrsearch study repair digits
    """
    from lrsearch.errors import StudyError
    from lrsearch.study.repair import repair as repair_it

    found = repair_it(open_named_study(storage, name, quiet=as_json))
    if as_json:
        print_json(found.to_dict())
    else:
        for line in found.done:
            say(line)
        say(f"study {name}: {'repaired' if found.done else 'nothing to repair'}")
    if found.wrong:
        raise StudyError(f"study {name!r}: {'; '.join(found.wrong)}")


@click.command()
@name_argument
@click.option("--yes", is_flag=True, help="Needed, since what is deleted cannot be restored.")
@common
def delete(name: str, yes: bool, storage: str | None) -> None:
    """Delete a study and all that belongs to it.

    That is its trials, curves, confirmation runs and checkpoints, and the folder
    lrsearch-trials/NAME with the output of its scripts, if it is in this one.

    \b
    Example:
      lrsearch study delete digits --yes
    """
    from lrsearch.errors import StudyError
    from lrsearch.study.checkpoint_cleanup import delete_study

    study = open_named_study(storage, name)
    if not yes:
        raise StudyError(f"deleting study {name!r} cannot be undone; add --yes to do it")
    delete_study(study)
    say(f"study {name} deleted")


stop = earlier_name(finish, "stop", old="lrsearch study stop", new="lrsearch study finish")

COMMANDS = (finish, pause, resume, repair, delete, stop)
