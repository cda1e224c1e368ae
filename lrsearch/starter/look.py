"""Looking at a script: its arguments, its metrics, the files that it writes."""

import ast
from collections.abc import Iterator, Sequence

from lrsearch.starter.arguments import arguments, by_role
from lrsearch.starter.command_study import Look
from lrsearch.starter.messages import printed_lines
from lrsearch.starter.metrics import metrics
from lrsearch.starter.source import Function, Source, called, constant


def look_at(source: Source, given: Sequence[str] = ()) -> Look:
    """What a script takes and prints. `given` are words that it gets besides."""
    found = arguments(source)
    subcommands = {argument.subcommand for argument in found} - {""}
    training = next((word for word in sorted(subcommands) if "train" in word), "")
    within = [argument for argument in found if argument.subcommand in ("", training)]
    return Look(
        path=source.path,
        roles=by_role(within),
        arguments=within,
        metrics=metrics(printed_lines(source)),
        subcommand=training,
        given=given,
        fixed_files=list(dict.fromkeys(_fixed_files(source))),
    )


def _fixed_files(source: Source) -> Iterator[tuple[str, int]]:
    """Files that `torch.save` and the like write under a name of their own."""
    named = {
        target.id: constant(node.value)
        for node in source.nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for function in source.nodes:
        if isinstance(function, Function):
            last = function.args.args[-len(function.args.defaults) :]
            defaults = zip(last, function.args.defaults, strict=False)
            named |= {parameter.arg: constant(value) for parameter, value in defaults}
    for call in source.calls():
        if called(call) not in ("save", "save_checkpoint") or len(call.args) < 2:
            continue
        to = call.args[1]
        name = named.get(to.id) if isinstance(to, ast.Name) else constant(to)
        if isinstance(name, str):
            yield name, call.lineno
