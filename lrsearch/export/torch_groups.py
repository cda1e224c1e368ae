"""The source that divides a model's parameters into a recipe's groups."""

from collections.abc import Iterator

from lrsearch.catalog.groups import OF_TASK, GroupRule
from lrsearch.export.source import literal, source_of
from lrsearch.recipe.recipe import Recipe

_SPLIT = (
    "groups = [",
    '    {**group, "params": part, **without_decay}',
    "    for group in groups",
    "    for part, without_decay in (",
    '        ([p for p in group["params"] if p.ndim > 1], {}),',
    '        ([p for p in group["params"] if p.ndim <= 1], {"weight_decay": 0.0}),',
    "    )",
    "    if part",
    "]",
)
_OF_TASK = (
    "groups = [",
    '    {**group, "params": [p for p in group["params"] if p.requires_grad]}',
    "    for group in groups(model)",
    "]",
    'groups = [group for group in groups if group["params"]]',
    "for group in groups:",
    '    group["lr"] = LR * group.get("lr_scale", 1.0)',
)


def has_groups(recipe: Recipe) -> bool:
    """Whether the recipe's parameters are in groups of its own."""
    return recipe.groups is not None and recipe.groups != ()


def scales_groups(recipe: Recipe) -> bool:
    """Whether some of them have a learning rate of their own."""
    return recipe.groups == OF_TASK or any(rule.scales for rule in recipe.group_rules)


def group_lines(recipe: Recipe) -> list[str]:
    """Lines that set `groups`, the list of groups as torch takes them."""
    lines = list(_OF_TASK) if recipe.groups == OF_TASK else list(_by_rules(recipe))
    return lines + (list(_SPLIT) if recipe.optimizer.get("weight_decay_exclude_1d") else [])


def group_imports(recipe: Recipe) -> tuple[str, ...]:
    matched = any(rule.match for rule in recipe.group_rules)
    return ("import re",) if matched else ()


def group_helpers(recipe: Recipe) -> tuple[str, ...]:
    if not any(rule.kind for rule in recipe.group_rules):
        return ()
    source = source_of("lrsearch.recipe", "parameter_groups.py", "kinds_of")
    return (source.replace("nn.Module", "torch.nn.Module"),)


def _by_rules(recipe: Recipe) -> Iterator[str]:
    rules = recipe.group_rules
    yield "left = {k: p for k, p in model.named_parameters() if p.requires_grad}"
    if any(rule.kind for rule in rules):
        yield "kinds = kinds_of(model)"
    yield "groups = []"
    for rule in rules:
        yield f"# {rule.title()}"
        yield from _taken(rule)
        yield "left = {k: p for k, p in left.items() if k not in taken}"
        yield from _of_rule(rule)
    yield "if left:  # the rest"
    yield '    groups.insert(0, {"params": list(left.values())})'


def _taken(rule: GroupRule) -> Iterator[str]:
    """Lines that set `taken`, what the rule takes of what is left; short whatever is in them."""
    if len(rule.match) == 1:
        yield f"pattern = {literal(rule.match[0])}"
        yield "taken = {k: p for k, p in left.items() if re.search(pattern, k)}"
    elif rule.match:
        yield "patterns = ["
        yield from (f"    {literal(pattern)}," for pattern in rule.match)
        yield "]"
        found = "any(re.search(s, k) for s in patterns)"
        yield f"taken = {{k: p for k, p in left.items() if {found}}}"
    if rule.kind:
        kinds = ", ".join(map(literal, rule.kind))
        of = "taken" if rule.match else "left"
        yield f"taken = {{k: p for k, p in {of}.items() if kinds[k] & {{{kinds}}}}}"


def _of_rule(rule: GroupRule) -> Iterator[str]:
    arguments = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in rule.arguments.items()
    }
    entries = [f"{literal(key)}: {literal(value)}" for key, value in arguments.items()]
    if rule.layer_decay is None:
        scale = repr(rule.lr_scale)
        scaled = [f'"lr": LR * {scale}', f'"lr_scale": {scale}'] if rule.scales else []
        yield from _appended("", ['"params": list(taken.values())', *scaled, *entries])
        return
    yield "found = {k: re.search(pattern, k) for k, _ in model.named_parameters()}"
    yield "depths = {k: int(match[1]) for k, match in found.items() if match}"
    yield "deepest = max(depths.values())"
    yield "for depth in sorted({depths[k] for k in taken}, reverse=True):"
    factor = "" if rule.lr_scale == 1 else f"{rule.lr_scale!r} * "
    yield f"    scale = {factor}{rule.layer_decay!r} ** (deepest - depth)"
    own = '"params": [p for k, p in taken.items() if depths[k] == depth]'
    yield from _appended("    ", [own, '"lr": LR * scale', '"lr_scale": scale', *entries])


def _appended(indent: str, entries: list[str]) -> Iterator[str]:
    """`groups.append({...})`, on one line where it fits."""
    line = f"{indent}groups.append({{{', '.join(entries)}}})"
    if len(line) <= 80:
        yield line
        return
    yield f"{indent}groups.append("
    yield f"{indent}    {{"
    yield from (f"{indent}        {entry}," for entry in entries)
    yield f"{indent}    }}"
    yield f"{indent})"
