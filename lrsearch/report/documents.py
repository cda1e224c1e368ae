"""A study as JSON documents: what `--json` prints. Their keys are a public interface."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.advice.lr_edges import RangeEdge
from lrsearch.confirmation.confirmed import Confirmed
from lrsearch.fusing.choice import Choice
from lrsearch.fusing.compiling import asked_for
from lrsearch.plain_data import Document
from lrsearch.report.groups import rates_document
from lrsearch.report.model import Report
from lrsearch.report.review import Advice, Audit, Warned
from lrsearch.report.rows import OptimizerRangeTest, Trial
from lrsearch.report.text.cost import planned_epochs
from lrsearch.report.text.result import answer
from lrsearch.report.text.trial_end import trial_ends
from lrsearch.spec.command_line import command_line
from lrsearch.storage.records import CurveRecord, EngineRecord
from lrsearch.trial.pruning_audit import LEAST_AUDITED, Rate

if TYPE_CHECKING:
    from lrsearch.export import Exported

#: What is shown of a range test, as it is stored.
READINGS = ("edge", "min_over_10", "valley", "steepest", "window")
#: Columns of a curve before the task's own metrics.
CURVE_COLUMNS = (
    "trial",
    "attempt",
    "validation",
    "epoch",
    "step",
    "lr",
    "train_loss",
    "val_loss",
    "val_loss_ema",
)


def study_document(report: Report) -> Document:
    """State, objective, budget, epochs spent, counts, the search's best and what is confirmed."""
    baseline, best = report.baseline, report.recommended
    return {
        "name": report.name,
        "state": report.state,
        "reason": report.reason,
        "objective": report.spec.objective.model_dump(),
        "budget": {part.name: {"total": part.total, "used": part.used} for part in report.budget},
        "epochs": asdict(report.epochs),
        "seconds": asdict(report.seconds),
        "counts": dict(report.counts),
        "range_tests": [_range_test(test) for test in report.range_tests],
        "best": None if report.best is None else _scored(report.best),
        "baseline": None if baseline is None or not baseline.recipe else _scored(baseline),
        "confirmed": confirmed_documents(report),
        "origin": report.origin,
        "engines": [_engine(record) for record in report.engines],
        "command": None if best is None else command_line(report.spec, best),
        "resume": report.resume,
    }


def reviewed_document(report: Report) -> Document:
    """The same with the answer in values and in words, and what the study says about itself."""
    review = {"audit": _audit(report.audit), "advice": _advice(report.advice)}
    answered = {"answer": _answer(report), "provenance": _provenance(report)}
    return {**study_document(report), **answered, **review}


def confirmed_documents(report: Report) -> list[Document]:
    """The confirmed recipes, the recommended one first."""
    return [_confirmed(entry) for entry in report.confirmed]


def trial_documents(report: Report) -> list[Document]:
    """Every started trial, by ticket."""
    ends = trial_ends(report)
    return [{**_trial(trial), "why": ends[trial.id]} for trial in report.trials]


def curve_documents(rows: Sequence[CurveRecord]) -> tuple[list[Document], list[str]]:
    """Validations, and the columns of a table of them in their order."""
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    columns = [*CURVE_COLUMNS, *metrics, "seconds"]
    flat = ({**vars(row), **row.metrics, "trial": row.number} for row in rows)
    return [{key: row.get(key) for key in (*columns, "grad_norm")} for row in flat], columns


def exported_document(exported: "Exported", form: str, path: Path | None) -> Document:
    """What `export --json` prints; `path` is the file that was written, if one was."""
    return {
        "format": form,
        "path": None if path is None else str(path.absolute()),
        "text": exported.text,
        "lost": list(exported.lost),
        "warnings": list(exported.warnings),
    }


def _answer(report: Report) -> Document:
    found = answer(report)
    return {
        "verdict": found.verdict.value,
        "recipe": None if report.recommended is None else report.recommended.to_dict(),
        "trial": found.trial,
        "gain": None if found.gain is None else asdict(found.gain),
        "run_cost": None if found.run_cost is None else asdict(found.run_cost),
        "outlook": None if found.outlook is None else asdict(found.outlook),
        "safe_lr": None if found.safe_lr is None else asdict(found.safe_lr),
        "tied": list(found.tied),
        "optimizers": None if found.optimizers is None else asdict(found.optimizers),
        "schedules": None if found.schedules is None else asdict(found.schedules),
        "cost": {
            "spent": asdict(report.epochs),
            "planned": planned_epochs(report.plan),
            "seconds": report.seconds.total,
        },
        "next": asdict(found.next),
        "sentences": list(found.sentences),
        "details": list(found.details),
    }


def _provenance(report: Report) -> Document:
    """What produced it; a worker that never began to train has no facts."""
    study = report.study
    return {
        "created": study.created_at,
        "versions": dict(study.versions),
        "code": dict(study.code),
        "spec_hash": study.spec_hash,
        "seed": report.spec.seed,
        "storage": report.storage,
        "workers": [
            {"worker": worker.name, "device": worker.device, "facts": worker.facts}
            for worker in report.workers
        ],
    }


def _scored(trial: Trial) -> Document:
    return {
        "trial": trial.number,
        "value": trial.value,
        "recipe": trial.recipe,
        "metrics": trial.metrics,
        **rates_document(trial.recipe),
    }


def _trial(trial: Trial) -> Document:
    return {
        "trial": trial.number,
        "state": trial.state,
        "value": trial.value,
        "epochs": trial.epochs,
        "attempts": trial.attempt,
        "reason": trial.reason,
        "seconds": trial.seconds,
        "recipe": trial.recipe,
        "kind": trial.kind,
        "metrics": trial.metrics,
    }


def _engine(record: EngineRecord) -> Document:
    """What workers on a device train with, and what was measured for it."""
    choice = Choice.from_row(record)
    fuse, compile = asked_for(record.wanted)
    return {
        "engine": choice.engine,
        "size": choice.size,
        "speedup": choice.speedup,
        "reason": choice.reason,
        "device": choice.device,
        "precision": choice.precision,
        "fuse": fuse,
        "compile": compile,
        "probe_seconds": choice.probe_seconds,
        "calibration_seconds": choice.calibration_seconds,
        "title": choice.title,
    }


def _range_test(test: OptimizerRangeTest) -> Document:
    """A range test without its ramps."""
    result = test.result or {}
    return {
        "optimizer": test.optimizer,
        "state": test.state,
        "reason": test.reason,
        **{key: result.get(key) for key in READINGS},
        "seeds": len(result.get("ramps", [])),
        "epochs": test.epochs,
    }


def _confirmed(entry: Confirmed) -> Document:
    document: Document = {
        "trial": entry.trial,
        "mean": entry.mean,
        "ci95": None if entry.ci95 is None else list(entry.ci95),
        "n": entry.n,
        "tied": entry.tied,
        "recipe": entry.recipe,
        "role": entry.role,
        "values": list(entry.values),
        "seeds": list(entry.seeds),
        "failed": entry.failed,
        "metrics": dict(entry.metrics),
        "epochs": entry.epochs,
        "seconds": entry.seconds,
        "basin": entry.basin,
        "optimism": None if entry.optimism is None else asdict(entry.optimism),
        **rates_document(entry.recipe),
    }
    if entry.reasons is None:
        difference = None if entry.difference is None else asdict(entry.difference)
        return {**document, "difference": difference}
    reasons = entry.reasons
    return {
        **document,
        "tied_with": list(reasons.tied_with),
        "why": reasons.why,
        "runner_up": None if reasons.runner_up is None else asdict(reasons.runner_up),
        "test": reasons.test,
    }


def _audit(audit: Audit) -> Document:
    return {
        **_rate(audit.overall),
        "own": audit.own,
        "studies": audit.studies,
        "least": LEAST_AUDITED,
        "families": {name: _rate(rate) for name, rate in audit.families.items()},
    }


def _rate(rate: Rate) -> Document:
    return {
        "audited": rate.audited,
        "false": rate.false,
        "share": rate.share,
        "ci95": None if rate.ci95 is None else list(rate.ci95),
    }


def _advice(advice: Advice) -> Document:
    gain = advice.gain
    return {
        "gain": None
        if gain is None
        else {"trials": gain.trials, "expected": gain.expected, "ci95": [0.0, gain.high]},
        "seed_sd": advice.seed_sd,
        "warnings": _warnings(advice.warnings),
    }


def _warnings(warnings: Iterable[Warned]) -> list[Document]:
    found: list[Document] = []
    for warned in warnings:
        about = {"trial": warned.trial, "optimizer": warned.optimizer, "lr": warned.lr}
        edge = warned.edge
        if isinstance(edge, RangeEdge):
            ends = {"side": edge.side, "edge": edge.edge, "line": edge.line}
            found.append({"kind": "range", **about, **ends})
        else:
            ends = {"edge": edge.edge, "diverged": edge.diverged}
            found.append({"kind": "stability", **about, **ends})
    return found
