"""The source that makes a recipe's optimizer from a model."""

from dataclasses import dataclass

from lrsearch.catalog.lookup import optimizer_info
from lrsearch.catalog.optimizers import OptimizerInfo
from lrsearch.errors import SpecError
from lrsearch.export.source import import_of, literal, source_of
from lrsearch.export.torch_groups import group_helpers, group_imports, group_lines, has_groups
from lrsearch.plain_data import Fields
from lrsearch.recipe.optimizer_arguments import optimizer_arguments
from lrsearch.recipe.recipe import Recipe, without_fused
from lrsearch.task.own_code import is_own, split

_TRAINED = "parameters = [p for p in model.parameters() if p.requires_grad]"


@dataclass(frozen=True, kw_only=True)
class OptimizerCode:
    #: Lines before the call.
    before: tuple[str, ...]
    #: What is called, and its positional arguments.
    call: str
    positional: tuple[str, ...]
    #: Keyword arguments after lr.
    arguments: tuple[tuple[str, str], ...]
    imports: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    #: Whether it has `train()` and `eval()`.
    switches: bool = False
    #: Whether it differentiates the gradients.
    second_order: bool = False


def optimizer_code(recipe: Recipe) -> OptimizerCode:
    """The lines that `build_optimizer` stands for, for this one recipe."""
    optimizer = recipe.optimizer
    if recipe.optimizer_name == "muon":
        return _muon(recipe)
    info = optimizer_info(recipe.optimizer_name, "optimizer")
    exclude = bool(optimizer.get("weight_decay_exclude_1d"))
    call, imports = _class(info)
    before = [_TRAINED, *(_split("parameters") if exclude else ())]
    if has_groups(recipe):
        fused = any("parameters" in value for _, value in _fused(recipe))
        before = [*([_TRAINED] if fused else []), *group_lines(recipe)]
    return OptimizerCode(
        before=tuple(before),
        call=call,
        positional=("groups" if exclude or has_groups(recipe) else "parameters",),
        arguments=(*_keywords(optimizer_arguments(without_fused(optimizer))), *_fused(recipe)),
        imports=(*group_imports(recipe), *imports),
        helpers=group_helpers(recipe),
        switches=info.switches,
        second_order=info.known.second_order,
    )


def _class(info: OptimizerInfo) -> tuple[str, tuple[str, ...]]:
    """The class as the script calls it, and the lines that import it."""
    if not is_own(info.path):
        module = info.path.rpartition(".")[0]
        return info.path, () if info.builtin else (f"import {module}",)
    if info.unseen:
        raise SpecError(
            f"format torch needs {info.path}, as the study recorded it, in this folder or in "
            f"./studies; run the command where its file is, or take format yaml"
        )
    return split(info.path)[1], (import_of(info.path),)


def _split(parameters: str) -> tuple[str, ...]:
    return (
        "groups = [",
        f'    {{"params": [p for p in {parameters} if p.ndim > 1]}},',
        f'    {{"params": [p for p in {parameters} if p.ndim <= 1], "weight_decay": 0.0}},',
        "]",
        'groups = [group for group in groups if group["params"]]',
    )


def _keywords(arguments: Fields) -> tuple[tuple[str, str], ...]:
    return tuple((key, literal(value)) for key, value in arguments.items() if key != "lr")


def _fused(recipe: Recipe) -> tuple[tuple[str, str], ...]:
    if not recipe.optimizer.get("fused"):
        return ()
    everywhere = "cuda" in optimizer_info(recipe.optimizer_name, "optimizer").fused
    return (("fused", "True" if everywhere else 'parameters[0].device.type == "cpu"'),)


def _muon(recipe: Recipe) -> OptimizerCode:
    muon = optimizer_info("muon", "optimizer")
    given = optimizer_arguments({**muon.defaults, **recipe.optimizer})
    return OptimizerCode(
        before=(
            "layers = (m for m in model.modules() if isinstance(m, torch.nn.Embedding))",
            "embeddings = {id(layer.weight) for layer in layers}",
            *_muon_groups(recipe),
        ),
        call="MuonWithAdamW",
        positional=("matrices", "groups"),
        arguments=_keywords(given),
        imports=(
            "from collections import defaultdict",
            "from collections.abc import Callable, Sequence",
            "from typing import Any",
            "from torch.optim import AdamW, Muon, Optimizer",
            *group_imports(recipe),
        ),
        helpers=(
            source_of("lrsearch.recipe", "muon.py", "MuonWithAdamW"),
            *group_helpers(recipe),
        ),
    )


def _muon_groups(recipe: Recipe) -> tuple[str, ...]:
    """Lines that set `matrices`, Muon's part of the parameters, and `groups`, AdamW's."""
    if has_groups(recipe):
        return (
            *group_lines(recipe),
            "matrices, others = [], []",
            "for group in groups:",
            "    parts = {True: [], False: []}",
            '    for p in group["params"]:',
            "        parts[p.ndim == 2 and id(p) not in embeddings].append(p)",
            '    matrices += [{**group, "params": parts[True]}] if parts[True] else []',
            '    others += [{**group, "params": parts[False]}] if parts[False] else []',
            "groups = others",
        )
    exclude = bool(recipe.optimizer.get("weight_decay_exclude_1d"))
    groups = _split("others") if exclude else ('groups = [{"params": others}] if others else []',)
    return (
        _TRAINED,
        "matrices = [p for p in parameters if p.ndim == 2 and id(p) not in embeddings]",
        "others = [p for p in parameters if p.ndim != 2 or id(p) in embeddings]",
        *groups,
    )
