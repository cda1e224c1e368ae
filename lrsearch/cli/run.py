"""Commands that train: run, check, worker, confirm; and what comes of it: report, export."""

from pathlib import Path

import click

from lrsearch.cli.options import (
    announce,
    common,
    file_argument,
    fuse_option,
    json_option,
    name_argument,
    open_named_study,
    print_json,
)

#: Recipes that `check --plot` draws.
PREVIEWED = 12

studies_option = click.option(
    "--studies",
    type=click.Path(path_type=Path),
    envvar="LRSEARCH_STUDIES",
    help="Folder with the study's task file; looked at before . and ./studies.",
)


@click.command()
@file_argument
@click.option("--workers", type=int, help="Local workers; default one per GPU, else per core.")
@click.option("--trials", type=int, help="The study's total of trials, in place of the file's.")
@click.option("--name", help="Another name for the study, in place of the file's.")
@click.option("--device", default="auto", help="auto, cpu, mps or cuda:N.", show_default=True)
@fuse_option
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the report; default ./NAME-report/."
)
@json_option
@common
def run(
    file: Path,
    workers: int | None,
    trials: int | None,
    name: str | None,
    device: str,
    fuse: str,
    out: Path | None,
    as_json: bool,
    storage: str | None,
) -> None:
    """Search, confirm, report: the main job. The same command again goes on.

    \b
    Example:
      lrsearch run studies/digits.yaml --workers 2
    """
    from lrsearch.advice.cost import cost_plan
    from lrsearch.errors import SpecError
    from lrsearch.fusing import fuse_option as fusing_fuse_option
    from lrsearch.preflight import check_file
    from lrsearch.report import files
    from lrsearch.report.documents import reviewed_document
    from lrsearch.report.text import answer
    from lrsearch.report.text import plan as text_plan
    from lrsearch.report.text.origin import origin_text
    from lrsearch.study.create import create_study
    from lrsearch.study.prepare_database import open_database
    from lrsearch.worker import processes

    if workers is not None and workers < 1:
        raise SpecError(f"--workers {workers}: at least one is needed")
    engine = fusing_fuse_option.parse(fuse)
    checked = check_file(file, name=name, trials=trials, device=device)
    fusing_fuse_option.check(checked.spec, engine)
    files.report_folder(checked.spec.name, out)
    database = open_database(storage, create=True)
    announce(database, quiet=as_json)
    search, new = create_study(
        database,
        checked.spec,
        checked.loaded,
        steps_per_epoch=checked.steps_per_epoch,
        batch_size=checked.task.batch_size,
        exist_ok=True,
    )
    plan = cost_plan(checked.spec, checked.steps_per_epoch)
    origin = origin_text(search.origin) if new else []
    if not as_json:
        click.echo("\n".join([text_plan.plan_text(checked.spec, plan), *origin]))
    seconds = processes.run_local(
        search, checked.folder, workers=workers, device=device, fuse=engine
    )
    study, folder = files.write_files(search, out)
    if as_json:
        print_json({**reviewed_document(study), "report": str(folder / "report.html")})
    else:
        click.echo(answer.answer_text(study, folder=folder, wall_seconds=seconds))


@click.command()
@file_argument
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw learning rate and momentum of 12 sampled recipes into this file.",
)
@click.option("--time", "timed", is_flag=True, help="Train one timed epoch and tell the hours.")
@click.option("--device", default="auto", help="auto, cpu, mps or cuda:N.", show_default=True)
@json_option
@click.option("-v", "--verbose", count=True, hidden=True, expose_value=False)
def check(file: Path, plot: Path | None, timed: bool, device: str, as_json: bool) -> None:
    """Lint a study file and tell what it will cost; trains one batch, or one epoch with --time.

    \b
    Example:
      lrsearch check studies/digits.yaml --plot digits.png --time
    """
    from lrsearch.advice.cost import cost_plan
    from lrsearch.advice.lint import Scale, lint
    from lrsearch.preflight import check_file, seconds_per_epoch
    from lrsearch.report.plots.sampled_schedules import save_preview
    from lrsearch.report.text import plan as text_plan
    from lrsearch.spec.sample_recipes import sample

    checked = check_file(file, device=device)
    plan = cost_plan(checked.spec, checked.steps_per_epoch)
    step_samples = checked.task.batch_size * checked.spec.accumulate
    scale = Scale(steps_per_epoch=checked.steps_per_epoch, batch_size=step_samples)
    warnings = lint(checked.spec, scale)
    if plot is not None:
        recipes = sample(checked.spec, PREVIEWED, checked.task.batch_size)
        save_preview(recipes, checked.steps_per_epoch, plot)
    seconds = seconds_per_epoch(checked, device) if timed else None
    if as_json:
        print_json(text_plan.plan_json(checked.spec, plan, warnings, seconds))
        return
    click.echo(text_plan.plan_text(checked.spec, plan, seconds_per_epoch=seconds))
    for warning in warnings:
        click.echo(f"warning: {warning}")
    if plot is not None:
        click.echo(f"picture: {plot}")
    count = len(warnings)
    click.echo(f"{file}: {count or 'no'} warning{'' if count == 1 else 's'}")


@click.command()
@name_argument
@click.option("--device", default="auto", help="auto, cpu, mps or cuda:N.", show_default=True)
@fuse_option
@studies_option
@click.option("--threads", type=int, default=1, show_default=True, help="Intra-op CPU threads.")
@common
def worker(
    name: str, device: str, fuse: str, studies: Path | None, threads: int, storage: str | None
) -> None:
    """Train trials of a study until its budget is used; any number, anywhere, share the database.

    \b
    Example:
      lrsearch worker digits --studies studies --fuse 8
    """
    from lrsearch.fusing import fuse_option as fusing_fuse_option
    from lrsearch.worker import processes

    engine = fusing_fuse_option.parse(fuse)
    search = open_named_study(storage, name)
    processes.work(search, device=device, studies=studies, threads=threads, fuse=engine)


@click.command()
@name_argument
@click.option("--top", type=int, help="Candidates at most; default by the number of runs.")
@click.option("--runs", type=int, help="Runs in all; default and most a quarter of the trials.")
@click.option("--workers", type=int, help="Local workers; default one per GPU, else per core.")
@fuse_option
@studies_option
@json_option
@common
def confirm(
    name: str,
    top: int | None,
    runs: int | None,
    workers: int | None,
    fuse: str,
    studies: Path | None,
    as_json: bool,
    storage: str | None,
) -> None:
    """Re-run the best recipes with fresh seeds, and report the winner's mean with its interval.

    \b
    Example:
      lrsearch confirm digits --top 3 --runs 15
    """
    from lrsearch.errors import SpecError
    from lrsearch.fusing import fuse_option as fusing_fuse_option
    from lrsearch.report.documents import confirmed_documents
    from lrsearch.report.load import report_of
    from lrsearch.report.text import answer
    from lrsearch.study.confirmation import request
    from lrsearch.worker import processes

    for option, value in (("--top", top), ("--runs", runs), ("--workers", workers)):
        if value is not None and value < 1:
            raise SpecError(f"{option} {value}: at least 1 is needed")
    engine = fusing_fuse_option.parse(fuse)
    search = open_named_study(storage, name, quiet=as_json)
    fusing_fuse_option.check(search.spec, engine)
    request(search, top=top, runs=runs)
    processes.run_local(search, studies, workers=workers, device="auto", fuse=engine)
    study = report_of(search)
    if as_json:
        print_json(confirmed_documents(study))
    else:
        click.echo(answer.recipe_text(study))


@click.command()
@name_argument
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default ./NAME-report/.")
@common
def report(name: str, out: Path | None, storage: str | None) -> None:
    """Write report.html (one file), report.md and the plots as PNG.

    \b
    Example:
      lrsearch report digits --out digits-report
    """
    from lrsearch.report import files

    search = open_named_study(storage, name)
    _, folder = files.write_files(search, out)
    click.echo(f"report: {folder / 'report.html'}")


@click.command()
@name_argument
@click.option("--trial", type=int, help="This trial's recipe; default the confirmed, else best.")
@click.option("--format", "form", default="yaml", show_default=True, help="yaml, json or torch.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File; else stdout.")
@common
def export(name: str, trial: int | None, form: str, out: Path | None, storage: str | None) -> None:
    """Write the confirmed (else best) recipe as config or as plain PyTorch code.

    \b
    Example:
      lrsearch export digits --format torch --out best.py
    """
    from lrsearch.errors import SpecError
    from lrsearch.report import files

    search = open_named_study(storage, name, quiet=True)
    text = files.export_text(search, trial=trial, form=form)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(f"--out {out}: {error.strerror}") from error
    click.echo(f"wrote {out}", err=True)


COMMANDS = (run, check, worker, confirm, report, export)
