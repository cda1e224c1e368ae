"""One trial in words, as `lrsearch trial show` prints it."""

from collections.abc import Mapping
from typing import Any

from lrsearch.recipe.recipe import Recipe
from lrsearch.trial.states import TrialState


def details_text(study: str, trial: Mapping[str, Any]) -> str:
    """The same for people."""
    recipe = trial["recipe"]
    lines = [
        f"trial {trial['trial']} of {study}: {trial['state']}"
        + (f" ({trial['reason']})" if trial["reason"] else ""),
        f"  {Recipe.from_dict(recipe).title()}" if recipe else "  no recipe yet",
        f"  value {_number(trial['value'])}, last validation loss {_number(trial['val_loss'])}",
        f"  {trial['epochs']:g} epochs, {trial['validations']} validations, "
        f"attempt {trial['attempts']}",
    ]
    if trial["deaths"]:
        lines.append(f"  lost with its worker {trial['deaths']} times since its last checkpoint")
    if trial["worker"]:
        left = trial["lease_left"]
        lines.append(f"  worker {trial['worker']}" + (f", lease for {left:.0f} s" if left else ""))
    elif trial["state"] == TrialState.RUNNING:
        lines.append("  no worker holds it; the next free one goes on with it")
    for item in trial["checkpoints"]:
        lines.append(f"  checkpoint at step {item['step']}, {item['bytes'] / 1e6:.1f} MB")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
