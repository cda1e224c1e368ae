"""What people read: the plan before a study, the answer after it, and the files it leaves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrsearch.advice.cost import CostPlan
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.text import confirmation
from lrsearch.report.text.format import number, rough_duration
from lrsearch.report.text.origin import budget_text, origin_text
from lrsearch.report.text.range_test import window_line
from lrsearch.report.text.review import audit_line, gain_line, warning_lines


def recipe_text(study: Mapping[str, Any]) -> str:
    """The confirmed recipe with its mean and interval, or the search's best, and the baseline."""
    metric = study["objective"]["metric"]
    best, confirmed = study["best"], study["confirmed"]
    if best is None:
        counts = ", ".join(f"{n} {state}" for state, n in study["counts"].items() if n)
        return f"No trial is complete ({counts or 'none started'}); there is no answer yet."
    if not confirmed:
        lines = ["Best recipe (one seed, not confirmed):", f"  {_title(best)}"]
        lines.append(f"  {metric} {best['value']:.4g}{_metrics(best['metrics'])}")
    else:
        winner = confirmed[0]
        lines = ["Best recipe, confirmed with fresh seeds:", f"  {_title(winner)}"]
        lines.append(f"  {_confirmed_line(metric, winner)}")
        lines.append(f"  trial {winner['trial']}; the search's best value was {best['value']:.4g}")
        lines += [f"  {sentence}" for sentence in confirmation.sentences(winner)]
    lines += _baseline(study)
    return "\n".join(lines)


def _title(item: Mapping[str, Any]) -> str:
    return Recipe.from_dict(item["recipe"]).title()


def _metrics(metrics: Mapping[str, float | None] | None) -> str:
    known = {name: value for name, value in (metrics or {}).items() if value is not None}
    return "".join(f", {name} {value:.4g}" for name, value in known.items())


def _confirmed_line(metric: str, item: Mapping[str, Any]) -> str:
    low_high = item["ci95"]
    interval = "" if low_high is None else f" (95 % CI {low_high[0]:.4g} .. {low_high[1]:.4g})"
    failed = f", {item['failed']} failed" if item["failed"] else ""
    return f"{metric} {item['mean']:.4g}{interval}, n = {item['n']}{failed}" + _metrics(
        item["metrics"]
    )


def _baseline(study: Mapping[str, Any]) -> list[str]:
    baseline = study["baseline"]
    if baseline is None:
        return []
    metric = study["objective"]["metric"]
    lines = ["Baseline:", f"  {_title(baseline)}"]
    reported = [item for item in study["confirmed"] if item["role"] == "baseline"]
    if study["confirmed"] and study["confirmed"][0]["trial"] == baseline["trial"]:
        lines.append("  it is the recipe above; no recipe of the search was better")
    elif reported:
        lines.append(f"  {_confirmed_line(metric, reported[0])}")
        if reported[0]["tied"]:
            lines.append("  not told apart from the recipe above by these seeds")
    elif baseline["value"] is not None:
        lines.append(f"  {metric} {baseline['value']:.4g}{_metrics(baseline['metrics'])}, one seed")
    else:
        lines.append("  has no value: it diverged, failed or still runs")
    return lines


def _review(study: Mapping[str, Any]) -> list[str]:
    """What the study says about itself, a line each."""
    lines = [f"Warning: {line}" for line in warning_lines(study["advice"])]
    gain = gain_line(study["advice"], study["objective"]["metric"])
    lines += [line for line in (gain, audit_line(study["audit"])) if line is not None]
    return ["", *lines] if lines else []


def cost_text(study: Mapping[str, Any], plan: CostPlan | None, wall_seconds: float) -> str:
    """What the study has cost, against the plan."""
    epochs, seconds = study["epochs"], study["seconds"]

    def part(name: str, most: float | None) -> str:
        spent = f"{name.replace('_', ' ')} {number(epochs[name])}"
        return spent if most is None else f"{spent} of {number(most)}"

    parts = [
        part("range_test", plan.range_test if plan else None),
        part("search", plan.search if plan else None),
        *([part("audit", None)] if epochs["audit"] else []),
        part("confirm", plan.confirm if plan else None),
    ]
    text = (
        f"Cost in epochs: {', '.join(parts)}; training time {rough_duration(sum(seconds.values()))}"
    )
    return text + (f", {rough_duration(wall_seconds)} by the clock" if wall_seconds else "")


def answer_text(
    study: Mapping[str, Any], plan: CostPlan, *, folder: Path, wall_seconds: float
) -> str:
    """The end of `lrsearch run`: the answer, what it cost, and where it is."""
    name = study["name"]
    lines = [] if wall_seconds else [f"study {name} is {study['state']}; nothing is left to do"]
    lines += ["", recipe_text(study), *_review(study), "", cost_text(study, plan, wall_seconds)]
    lines += [window_line(test) for test in study["range_tests"] if test["reason"]]
    lines.append(f"Report: {folder / 'report.html'}")
    if study["best"] is not None:
        lines.append(f"Recipe: {folder / 'best.yaml'}; plain PyTorch: {folder / 'best.py'}")
        lines.append(f"Export: lrsearch export {name} --format yaml|json|torch")
    return "\n".join(lines)


def study_text(study: Mapping[str, Any]) -> str:
    """`lrsearch study show` for people."""
    counts = ", ".join(f"{n} {state}" for state, n in study["counts"].items() if n) or "none yet"
    lines = [f"study {study['name']}: {study['state']}", f"budget: {budget_text(study)}"]
    lines += [f"trials: {counts}", *origin_text(study["origin"])]
    lines += [window_line(test) for test in study["range_tests"]]
    lines += [f"engine: {item['title']} ({item['device']})" for item in study["engines"]]
    lines += ["", recipe_text(study), *_review(study), "", cost_text(study, None, 0.0)]
    return "\n".join(lines)
