"""The LR range test as a command of its own; it needs no database."""

from pathlib import Path

import click

from lrsearch.cli.options import file_argument, json_option, print_json


@click.command(name="range-test")
@file_argument
@click.option("--optimizer", help="Only this one of the space's optimizers.")
@click.option("--seeds", type=int, help="Ramps of each; default one, more where they disagree.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw them as PNG.")
@click.option("--device", default="auto", help="auto, cpu, mps or cuda:N.", show_default=True)
@json_option
@click.option("-v", "--verbose", count=True, hidden=True, expose_value=False)
def range_test(
    file: Path,
    optimizer: str | None,
    seeds: int | None,
    plot: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Ramp lr up for each optimizer, and tell the window in which it trains.

    \b
    Example:
      lrsearch range-test studies/digits.yaml --plot range-test.png
    """
    from lrsearch import preflight
    from lrsearch.errors import SpecError
    from lrsearch.report.plots import figures
    from lrsearch.report.text import range_test as text_range_test

    if seeds is not None and seeds < 1:
        raise SpecError(f"--seeds {seeds}: at least 1 is needed")
    if plot is not None and not plot.absolute().parent.is_dir():
        raise SpecError(f"--plot {plot}: the folder {plot.parent} does not exist")
    checked = preflight.check_file(file, device=device)
    results = []
    for name in preflight.tested_optimizers(checked, optimizer):
        click.echo(f"range test of {name}", err=True)
        results.append(preflight.range_test(checked, name, seeds=seeds, device=device))
    if as_json:
        print_json([result.to_dict() for result in results])
    else:
        click.echo(text_range_test.range_test_text(results))
    if plot is not None:
        figures.draw_range_tests(results, plot)
        click.echo(f"wrote {plot}", err=True)


COMMANDS = (range_test,)
