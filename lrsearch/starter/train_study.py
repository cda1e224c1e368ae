"""A study file for a script whose learning rate is in the code, and the lines to change there."""

import ast
from collections.abc import Iterator
from pathlib import Path

from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.starter.command_study import EPOCHS, RUNS, Look, Made
from lrsearch.starter.new_files import name_of_script
from lrsearch.starter.places import Change, OptimizerCall, changes, optimizer_calls
from lrsearch.starter.ranges import written
from lrsearch.starter.source import Source, called, constant
from lrsearch.user_input import is_number

#: Characters of a line that are shown.
SHOWN = 88


def train_study(source: Source, look: Look, study: Path) -> Made:
    """The study file, and the changes that the script needs before it can be trained."""
    best = next((metric for metric in look.metrics if metric.is_sure), None)
    name, direction = (best.name, best.direction) if best else ("val_loss", "minimize")
    script = source.path.name
    lines = [
        f"# {script}, whose own loop is searched, by `lrsearch init`. It takes no learning rate as",
        "# an argument, so some of its lines change: `lrsearch init` lists them. Then:",
        f"#   lrsearch check {study}",
        f"#   lrsearch run {study}",
        f"name: {name_of_script(source.path)}",
        f"train: {script}      # beside this file; or {script}:train, a function train(run)",
        "",
        f"epochs: {_epochs(source, look)}      # length of one full training; or steps: 1000",
        f"budget: {{runs: {RUNS}}}      # the study may train as much as {RUNS} full trainings",
        "# What run.report(...) tells, and what of it is searched by.",
        f"objective: {{metric: {name}, direction: {direction}}}",
        "",
        *_baseline(optimizer_calls(source)),
        "space: default      # or the optimizers and ranges that you name",
    ]
    needed = changes(source, look.metrics)
    return Made(text="\n".join(lines) + "\n", lines=tuple(_told(source, needed)))


def _epochs(source: Source, look: Look) -> int:
    """The script's own: its argument's default, else the number in its loop."""
    argument = look.roles.get("epochs")
    if argument is not None and is_number(argument.default) and argument.default >= 1:
        return int(argument.default)
    for node in source.nodes:
        value = constant(_count_of_epochs(node))
        if isinstance(value, int) and value >= 1:
            return value
    return EPOCHS


def _count_of_epochs(node: ast.AST) -> ast.expr | None:
    """What `epochs = 10` assigns, or `for epoch in range(10)` counts to."""
    match node:
        case ast.Assign(targets=[target], value=value) if "epoch" in ast.unparse(target).lower():
            return value
        case ast.For(target=target, iter=ast.Call(args=[*_, last]) as call) if (
            called(call) == "range" and "epoch" in ast.unparse(target).lower()
        ):
            return last
    return None


def _baseline(calls: list[tuple[ast.Call, OptimizerCall]]) -> Iterator[str]:
    """What the script uses today, where the code says it in numbers."""
    known = ("lr", "weight_decay", "momentum")
    for _, call in calls:
        if call.name.lower() not in OPTIMIZERS:  # of another package, or refused
            continue
        fields = {
            name: float(value)
            for name in known
            if is_number(value := call.fields.get(name)) and (name == "lr" or value > 0)
        }
        if "lr" in fields:
            given = ", ".join(f"{name}: {written(value)}" for name, value in fields.items())
            yield "# What you use today. It is trained too, so that the answer says the gain. The"
            yield "# script trains it when you start it by itself."
            yield (
                f"baseline: {{optimizer: {{name: {call.name.lower()}, {given}}}, "
                "schedule: {name: constant}}"
            )
            return
    yield "# What you use today, if you like; it is trained too, and the answer says the gain:"
    yield "#baseline: {optimizer: {name: adamw, lr: 1e-3}, schedule: {name: constant}}"


def _told(source: Source, needed: list[Change]) -> Iterator[str]:
    yield f"{source.path} takes no learning rate as an argument; change these lines of it:"
    for change in needed:
        shown = change.line if len(change.line) <= SHOWN else f"{change.line[: SHOWN - 4]} ..."
        yield f"  line {change.number}: {shown}"
        yield f"    {change.advice}"
