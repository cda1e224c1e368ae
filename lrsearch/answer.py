"""What people read: the plan before a study, the answer after it, and the files it leaves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrsearch import confirm_words
from lrsearch.cost import CostPlan, cost_plan
from lrsearch.errors import StudyError
from lrsearch.origin import budget_text, number, origin_text
from lrsearch.range_answer import window_line
from lrsearch.recipe import Recipe
from lrsearch.remarks import audit_line, gain_line, warning_lines
from lrsearch.spec import StudySpec
from lrsearch.study.search import Search


def plan_text(spec: StudySpec, plan: CostPlan, *, seconds_per_epoch: float | None = None) -> str:
    """What the study will train at most, in epochs, and in hours where an epoch was timed."""
    space = spec.space
    trials = "trials" if plan.trials is None else f"{plan.trials} trials"
    lines = [
        f"study {spec.name}: {trials} of {number(plan.horizon)} epochs over "
        f"{', '.join(space.optimizers)} x {', '.join(space.schedules)}",
        f"plan: at most {_epochs(plan.search)} of search (pruning makes it less), "
        f"{_epochs(plan.confirm)} of confirmation, {_range_test(plan)}",
    ]
    if plan.total_epochs is not None:
        lines[1] += f"; never more than {_epochs(plan.total_epochs)} together"
    if seconds_per_epoch is not None:
        line = f"time: {seconds_per_epoch:.3g} s an epoch on one worker"
        if plan.total is not None:
            line += f", at most {_duration(plan.total * seconds_per_epoch)} of training in all"
        lines.append(line)
    return "\n".join(lines)


def _range_test(plan: CostPlan) -> str:
    if plan.no_range_test:
        return f"no range test ({plan.no_range_test})"
    return f"{_epochs(plan.range_test)} of range test"


def plan_json(
    spec: StudySpec, plan: CostPlan, warnings: Sequence[str], seconds_per_epoch: float | None
) -> dict[str, Any]:
    """The plan for machines; None is unknown or unbounded."""
    total = plan.total
    timed = seconds_per_epoch is not None and total is not None
    return {
        "name": spec.name,
        "trials": plan.trials,
        "horizon_epochs": plan.horizon,
        "epochs": {
            "range_test": plan.range_test,
            "search": plan.search,
            "confirm": plan.confirm,
            "total": total,
        },
        "seconds_per_epoch": seconds_per_epoch,
        "hours": total * seconds_per_epoch / 3600 if timed else None,  # type: ignore[operator]
        "warnings": list(warnings),
    }


def _epochs(value: float | None) -> str:
    return "any number of epochs" if value is None else f"{number(value)} epochs"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


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
        lines += [f"  {sentence}" for sentence in confirm_words.sentences(winner)]
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
    text = f"Cost in epochs: {', '.join(parts)}; training time {_duration(sum(seconds.values()))}"
    return text + (f", {_duration(wall_seconds)} by the clock" if wall_seconds else "")


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


def write_files(search: Search, study: Mapping[str, Any], out: Path | None) -> Path:
    """The report, and the best recipe as config and code once there is one; their folder."""
    from lrsearch.report.data import load_report
    from lrsearch.report.page import write_report

    folder = report_folder(search.name, out)
    plan = cost_plan(search.spec, search.steps_per_epoch)
    planned = {
        "range_test": plan.range_test,
        "search": plan.search,
        "confirm": plan.confirm,
    }
    report = load_report(search.database, search.name, study["confirmed"], planned=planned)
    try:
        write_report(report, folder)
        if study["best"] is not None:
            for name, form in (("best.yaml", "yaml"), ("best.py", "torch")):
                text = export_text(search, trial=None, form=form)
                (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StudyError(f"cannot write the report in {folder}: {error.strerror}") from error
    return folder


def report_folder(study: str, out: Path | None) -> Path:
    """Where the report of a study goes. Raises StudyError if it cannot be a folder."""
    folder = out if out is not None else Path(f"{study}-report")
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise StudyError(f"cannot write the report in {folder}: {there} is a file; name --out")
    return folder


def export_text(search: Search, *, trial: int | None, form: str) -> str:
    """A trial's recipe (the confirmed one, else the best) as config or code.

    Raises StudyError if there is no such trial, SpecError for a format that is not on offer.
    """
    from lrsearch.confirm import confirmed
    from lrsearch.export import check_format, export
    from lrsearch.storage import curves, studies, trials

    check_format(form)
    with search.database.read() as connection:
        study = studies.by_name(connection, search.name)
        minimize = search.spec.objective.direction == "minimize"
        best = trials.ranked(connection, search.study_id, minimize=minimize, limit=1)
        winners = confirmed(search)
        chosen = trial
        if chosen is None and (winners or best):
            chosen = winners[0]["trial"] if winners else best[0]["number"]
        row = None if chosen is None else trials.by_number(connection, search.study_id, chosen)
        rows = [] if row is None else curves.of_trial(connection, row["id"])
    if trial is not None and (row is None or not row["recipe"]):
        raise StudyError(f"study {search.name!r} has no trial {trial}")
    if row is None or study is None:
        raise StudyError(f"study {search.name!r} has no complete trial to export yet")
    return export(
        Recipe.from_dict(row["recipe"]),
        form,
        study=search.name,
        trial_number=row["number"],
        steps_per_epoch=_steps_per_epoch(rows, search.steps_per_epoch),
        value=row["value"],
        metric=search.spec.objective.metric,
        versions=study["versions"],
        validate_every=search.spec.validate_every,
        rungs=search.spec.pruning.rungs if search.spec.pruning is not None else (),
    )


def _steps_per_epoch(rows: Sequence[Mapping[str, Any]], own: int) -> int:
    """The trial's, which a searched batch size changes; the task's own before its first row."""
    return round(rows[-1]["step"] / rows[-1]["epoch"]) if rows else own
