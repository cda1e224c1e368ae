"""Optuna's trials hold torch's units, their recipe, and the constraint that dashboards read.

Before, Optuna kept the numbers of the sampler: `sgd.lr` as a momentum- and batch-equivalent lr, and
`sgd.1-momentum`. These go into a system attribute of the trial, where the sampler finds them again.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from alembic import op

revision = "007"
down_revision = "006"

COMPLEMENT = "1-"
#: A recipe or a study's definition.
Document = Mapping[str, object]

params = sa.table(
    "trial_params",
    sa.column("param_id"),
    sa.column("trial_id"),
    sa.column("param_name"),
    sa.column("param_value"),
    sa.column("distribution_json"),
)
system_attributes = sa.table(
    "trial_system_attributes", sa.column("trial_id"), sa.column("key"), sa.column("value_json")
)
user_attributes = sa.table(
    "trial_user_attributes", sa.column("trial_id"), sa.column("key"), sa.column("value_json")
)


@dataclass(frozen=True)
class Param:
    """A parameter as it was stored."""

    param_id: int
    name: str
    number: float
    distribution: str


def upgrade() -> None:
    """Change the trials of lrsearch's studies alone."""
    of_ours = (
        "trial_id IN (SELECT trial_id FROM trials JOIN lr_study"
        " ON lr_study.study_id = trials.study_id)"
    )
    op.execute(
        "UPDATE trial_system_attributes SET key = 'constraints',"
        " value_json = '[' || value_json || ']'"
        f" WHERE key = 'constraints:diverged' AND {of_ours}"
    )
    op.execute(
        "UPDATE trial_user_attributes SET key = 'recipe'"
        f" WHERE key = 'lrsearch:recipe' AND {of_ours}"
    )
    op.execute(
        "INSERT INTO trial_user_attributes (trial_id, key, value_json)"
        " SELECT trial_id, 'recipe', CAST(recipe AS TEXT) FROM lr_trial"
        " WHERE trial_id IS NOT NULL AND CAST(recipe AS TEXT) LIKE '{%'"
        " ON CONFLICT DO NOTHING"
    )
    connection = op.get_bind()
    for trial_id, recipe, space in _trials(connection):
        found = connection.execute(
            sa.select(
                params.c.param_id,
                params.c.param_name,
                params.c.param_value,
                params.c.distribution_json,
            ).where(params.c.trial_id == trial_id)
        ).all()
        for row in found:
            _convert(connection, trial_id, recipe, space, Param(*row))


def _trials(connection: sa.Connection) -> Iterator[tuple[int, Document, Document]]:
    """Each trial of lrsearch's studies that has a recipe: Optuna's id, the recipe, the space."""
    rows = connection.execute(
        sa.text(
            "SELECT trials.trial_id, recipe.value_json, CAST(lr_study.definition AS TEXT)"
            " FROM lr_study JOIN trials ON trials.study_id = lr_study.study_id"
            " JOIN trial_user_attributes AS recipe"
            " ON recipe.trial_id = trials.trial_id AND recipe.key = 'recipe'"
        )
    ).all()
    for trial_id, recipe, definition in rows:
        space = _mapping(_read(definition), "space")
        yield trial_id, _read(recipe), space


def _convert(
    connection: sa.Connection, trial_id: int, recipe: Document, space: Document, param: Param
) -> None:
    """Store a parameter as torch takes it, if the sampler's unit is another one."""
    owner, _, key = param.name.partition(".")
    complement = key.startswith(COMPLEMENT)
    key = key.removeprefix(COMPLEMENT)
    unit = _mapping(_mapping(space, "optimizers"), owner)
    is_other = complement or _mapping(unit, key).get("unit") == "momentum_equivalent"
    value = _field(recipe, owner, key)
    if value is None and complement:
        value = 1 - param.number  # a recipe that leaves the field to torch's default
    if not is_other or value is None:
        return
    drawn = {"name": param.name, "number": param.number, "distribution": param.distribution}
    connection.execute(
        sa.insert(system_attributes).values(
            trial_id=trial_id,
            key=f"lrsearch:unit:{owner}.{key}",
            value_json=json.dumps(drawn),
        )
    )
    # What momentum and batch size make of lr, by the parameter itself.
    scale = None if complement or value == 0 else param.number / value
    connection.execute(
        sa.update(params)
        .where(params.c.param_id == param.param_id)
        .values(
            param_name=f"{owner}.{key}",
            param_value=value,
            distribution_json=_torchs(param.distribution, value, scale),
        )
    )


def _field(recipe: Document, owner: str, key: str) -> float | None:
    """The recipe's number in torch's unit; None where it says none."""
    for part in ("optimizer", "schedule"):
        fields = _mapping(recipe, part)
        if fields.get("name") != owner:
            continue
        betas = fields.get("betas")
        if key in ("beta1", "beta2") and isinstance(betas, list) and len(betas) == 2:
            value = betas[key == "beta2"]
        else:
            value = fields.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def _torchs(distribution: str, value: float, scale: float | None) -> str:
    """The range in torch's units; `scale` is the sampler's number as a multiple of torch's."""
    content = json.loads(distribution)
    attributes = content["attributes"]
    low, high = attributes["low"], attributes["high"]
    if scale is None:
        low, high, attributes["log"] = 1 - high, 1 - low, False
    else:
        low, high = low / scale, high / scale
    attributes["low"], attributes["high"] = min(low, value), max(high, value)
    return json.dumps(content)


def _read(text: str) -> Document:
    """A JSON object; an empty one for anything else that stands there."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _mapping(content: Document, key: str) -> Document:
    found = content.get(key)
    return found if isinstance(found, dict) else {}
