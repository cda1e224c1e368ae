"""The lines of a training loop that change when it is to be searched as `train(run)`."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lrsearch.plain_data import Unchecked
from lrsearch.starter.metrics import Metric
from lrsearch.starter.roles import plain, words_in
from lrsearch.starter.source import Loop, Source, called, constant, keyword

#: Classes of torch.optim by their names here, and common ones of other packages.
OPTIMIZERS = frozenset(
    {"Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "Muon", "NAdam"}
    | {"RAdam", "RMSprop", "Rprop", "SGD", "SparseAdam", "LBFGS", "Lion", "Lamb"}
)
SCHEDULERS = frozenset(
    {"StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR"}
    | {"CosineAnnealingLR", "ChainedScheduler", "SequentialLR", "ReduceLROnPlateau", "CyclicLR"}
    | {"OneCycleLR", "CosineAnnealingWarmRestarts", "LambdaLR", "MultiplicativeLR"}
    | {"get_scheduler", "get_linear_schedule_with_warmup", "get_cosine_schedule_with_warmup"}
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A line of the script, and what to write there."""

    number: int
    #: As it stands there.
    line: str
    #: What to do, such as `write: optimizer = run.build(...)`.
    advice: str


@dataclass(frozen=True, kw_only=True)
class OptimizerCall:
    """Where the script makes an optimizer."""

    name: str
    #: Fields that are given as plain numbers, `lr` among them.
    fields: dict[str, Unchecked]


def changes(source: Source, metrics: Sequence[Metric]) -> list[Change]:
    """What to change in the order of the lines; the first is the import."""
    found = [
        *_optimizers(source),
        *_schedulers(source),
        *_loops(source),
        *_written_lr(source),
        *_seeds(source),
        *_report(source, metrics),
    ]
    return [_import(source), *sorted(found, key=lambda change: change.number)]


def optimizer_calls(source: Source) -> list[tuple[ast.Call, OptimizerCall]]:
    """The calls that make optimizers, but not those within functions called `test`."""
    return [
        (
            call,
            OptimizerCall(
                name=called(call),
                fields={
                    part.arg: value
                    for part in call.keywords
                    if part.arg and isinstance(value := constant(part.value), int | float)
                },
            ),
        )
        for call in source.calls()
        if called(call) in OPTIMIZERS and (call.args or call.keywords)
    ]


def _change(source: Source, node: ast.AST, advice: str) -> Change:
    return Change(number=getattr(node, "lineno", 1), line=source.line(node), advice=advice)


def _import(source: Source) -> Change:
    """After the last import at the top of the module."""
    tops = [node for node in source.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    if not tops:
        return Change(number=1, line="", advice="write above: from lrsearch import run")
    return _change(source, tops[-1], "write below: from lrsearch import run")


def _optimizers(source: Source) -> Iterator[Change]:
    calls = optimizer_calls(source)
    if not calls:
        yield from _no_optimizer(source)
    for place, (call, _) in enumerate(calls):
        statement = next(source.above(call), None)
        target = "optimizer"
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            first = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            target = ast.unparse(first)
        trained = call.args[0] if call.args else keyword(call, "params")
        model = "model" if trained is None else ast.unparse(trained)
        model = model.removesuffix(".parameters()")
        role = f', role="{target}"' if place else ""
        steps = f"steps_per_epoch=len({_loader(source)})"
        advice = f"write: {target} = run.build({model}, {steps}{role})"
        if called(call) == "LBFGS":
            advice = f"{advice}; LBFGS itself cannot be searched, its step needs a closure"
        yield _change(source, call, advice)


def _no_optimizer(source: Source) -> Iterator[Change]:
    """The script updates its weights in a way of its own, or in another file."""
    for call in source.calls():
        if called(call) == "backward":
            steps = f"steps_per_epoch=len({_loader(source)})"
            advice = (
                f"no torch optimizer was found: make one before the loop, optimizer = "
                f"run.build(model, {steps}), and call optimizer.step() here"
            )
            yield _change(source, call, advice)
            return


def _loader(source: Source) -> str:
    """What the batches come from: the iterable of the loop in which `backward` is called."""
    for call in source.calls():
        if called(call) != "backward":
            continue
        for up in source.above(call):
            if isinstance(up, ast.For):
                iterable = up.iter
                while isinstance(iterable, ast.Call) and called(iterable) in ("enumerate", "tqdm"):
                    iterable = iterable.args[0]
                if isinstance(iterable, ast.Name | ast.Attribute):
                    return ast.unparse(iterable)
                break
    return "train_loader"


def _schedulers(source: Source) -> Iterator[Change]:
    names = set()
    for call in source.calls():
        if called(call) in SCHEDULERS:
            advice = "remove: the recipe's schedule goes with the optimizer's steps"
            yield _change(source, call, advice)
            statement = next(source.above(call), None)
            if isinstance(statement, ast.Assign):
                names |= {ast.unparse(target) for target in statement.targets}
    for call in source.calls():
        stepped = isinstance(call.func, ast.Attribute) and called(call) == "step"
        if stepped and ast.unparse(call.func).removesuffix(".step") in names:
            yield _change(source, call, "remove: run.build's optimizer does it")


def _loops(source: Source) -> Iterator[Change]:
    """The loop over epochs, else that over steps."""
    loops = [node for node in source.nodes if isinstance(node, ast.For)]
    over = [loop for loop in loops if _is_over(loop, "epoch")]
    kind = "epochs"
    if not over:
        over, kind = [loop for loop in loops if _is_over(loop, "step")], "steps"
    for loop in over[:1]:
        target = ast.unparse(loop.target)
        later = ""
        if isinstance(loop.iter, ast.Call) and called(loop.iter) == "range":
            starts_at = constant(loop.iter.args[0]) if len(loop.iter.args) > 1 else 0
            if starts_at == 1:
                later = f" (it counts from 0, your loop from 1: use {target} + 1 inside)"
        yield _change(source, loop, f"write: for {target} in run.{kind}():{later}")


def _is_over(loop: ast.For, word: str) -> bool:
    counts = isinstance(loop.iter, ast.Call) and called(loop.iter) in ("range", "trange", "tqdm")
    words = words_in(f"{ast.unparse(loop.target)} {ast.unparse(loop.iter)}")
    return counts and (word in words or f"{word}s" in words)


def _written_lr(source: Source) -> Iterator[Change]:
    for node in source.nodes:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(
            isinstance(target, ast.Subscript) and constant(target.slice) == "lr"
            for target in targets
        ):
            yield _change(source, node, "remove: the recipe's schedule sets the learning rate")


def _seeds(source: Source) -> Iterator[Change]:
    for call in source.calls():
        if plain(called(call)) in ("manualseed", "setseed", "seedeverything") and call.args:
            function = ast.unparse(call.func)
            if "cuda" not in function and "Generator" not in function:
                yield _change(source, call, f"write: {function}(run.seed)")


def _report(source: Source, metrics: Sequence[Metric]) -> Iterator[Change]:
    """After the line that prints the validation."""
    best = next((metric for metric in metrics if metric.is_sure), None)
    if best is None:
        last = [loop for loop in source.nodes if isinstance(loop, Loop) and _ends_epoch(loop)][:1]
        for loop in last:
            advice = "at the end of each epoch: validate, and write run.report(val_loss=...)"
            yield _change(source, loop, advice)
        return
    line = source.text.splitlines()[best.number - 1].strip()
    advice = f"write below: run.report({best.name}={best.source})"
    yield Change(number=best.number, line=line, advice=advice)


def _ends_epoch(loop: ast.AST) -> bool:
    return isinstance(loop, ast.For) and (_is_over(loop, "epoch") or _is_over(loop, "step"))
