"""`lrsearch doctor`: what this machine offers and lacks."""

import click

from lrsearch.cli.options import common, json_option, print_json
from lrsearch.cli.output import say


@click.command()
@json_option
@common
@click.pass_context
def doctor(context: click.Context, as_json: bool, storage: str | None) -> None:
    """Look for what will not work here, and say what to do.

    The command looks at versions, devices, database, disk, limits, optional parts and shell. It
    changes nothing. Each line is ok, a note (it works, and this is good to know) or a problem. The
    exit code is 1 if there is a problem.

    \b
    Example:
      lrsearch doctor
    """
    from lrsearch.doctor.examine import examine, line_of, verdict

    found, area = [], ""
    for finding in examine(storage):
        found.append(finding)
        if not as_json:
            if finding.area != area:
                say(finding.area)
            say(line_of(finding))
        area = finding.area
    failed = any(finding.state == "problem" for finding in found)
    if as_json:
        print_json({"ok": not failed, "findings": [finding.to_dict() for finding in found]})
    else:
        say(verdict(found))
    context.exit(1 if failed else 0)


COMMANDS = (doctor,)
