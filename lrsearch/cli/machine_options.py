"""Options that say what a study is trained with."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lrsearch.cli.renamed import renamed_option

device_option = click.option(
    "--device", default="auto", help="auto, cpu, mps or cuda:N.", show_default=True
)
fuse_option = click.option(
    "--fuse",
    default="auto",
    show_default=True,
    metavar="auto|off|K",
    help="How many trials train at once as one program: K, one (off), or as many as are measured "
    "to be quickest (auto).",
)

compile_option = click.option(
    "--compile",
    default="auto",
    show_default=True,
    metavar="auto|off",
    help="Whether the steps of trials that train one by one are compiled: where a measurement says "
    "that it pays (auto), or never (off). With --fuse other than auto they are not compiled.",
)


def resources_options(
    command: Callable[..., Any], *, loads_early: bool = False
) -> Callable[..., Any]:
    """`--workers`, `--device`, `--fuse`, `--compile`: they become one argument, `resources`.

    `loads_early`: a process that will fork the workers loads PyTorch before anything else is done.
    """

    @functools.wraps(command)
    def parsed(
        *arguments: Any,
        workers: int | None,
        device: str,
        fuse: str,
        compile: str,
        **options: Any,
    ) -> Any:
        from lrsearch.worker.forks import WorkerForks

        with WorkerForks() as forks:
            if loads_early:
                forks.start()
            from lrsearch.worker.resources import Resources

            resources = Resources.parse(
                workers=workers, device=device, fuse=fuse, compile=compile, forks=forks
            )
            return command(*arguments, resources=resources, **options)

    workers_option = click.option(
        "--workers",
        type=int,
        metavar="N",
        help="Worker processes on this machine; default one per GPU, else one per core.",
    )
    return workers_option(device_option(fuse_option(compile_option(parsed))))


task_dir_option = renamed_option(
    "--task-dir",
    "--studies",
    envvar="LRSEARCH_TASK_DIR",
    old_envvar="LRSEARCH_STUDIES",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder with the study's task file, looked at before ., ./studies and the "
    "studies that come with lrsearch; default LRSEARCH_TASK_DIR.",
)
time_limit_option = click.option(
    "--time-limit",
    metavar="TIME",
    help="How long a worker may run, such as 90m, 4h or 3600s; in a job of Slurm the job's limit "
    "holds as well. Default none.",
)


def parse_time_limit(text: str | None) -> float | None:
    """Seconds of `--time-limit`; None where it was not given. Raises SpecError."""
    from lrsearch.errors import SpecError
    from lrsearch.spec.parts import duration

    try:
        seconds = None if text is None else float(str(duration(text)))
    except ValueError as error:
        raise SpecError(f"--time-limit {text}: {error}") from error
    if seconds == 0:
        raise SpecError(f"--time-limit {text}: more than 0 s is needed")
    return seconds


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What one worker trains with, which becomes one argument, `machine`."""

    @functools.wraps(command)
    def parsed(
        *arguments: Any, fuse: str, compile: str, task_dir: Path | None, **options: Any
    ) -> Any:
        from lrsearch.fusing import compiling, fuse_option
        from lrsearch.worker.machine import Machine

        machine = Machine(
            device=options.pop("device"),
            threads=options.pop("threads"),
            fuse=fuse_option.parse(fuse),
            compile=compiling.parse(compile),
            task_dir=task_dir,
        )
        return command(*arguments, machine=machine, **options)

    threads_option = click.option(
        "--threads",
        type=int,
        default=1,
        show_default=True,
        metavar="N",
        help="CPU threads of torch.",
    )
    return device_option(fuse_option(compile_option(task_dir_option(threads_option(parsed)))))
