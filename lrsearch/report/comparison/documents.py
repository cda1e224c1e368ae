"""A comparison as the JSON document that `study compare --json` prints: a public interface."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from lrsearch.catalog.domains import Domain
from lrsearch.plain_data import Document, Unchecked
from lrsearch.report.answer.run_cost import run_cost
from lrsearch.report.answer.safe_rates import safe_rates
from lrsearch.report.comparison.comparability import warnings
from lrsearch.report.comparison.comparison import Comparison
from lrsearch.report.comparison.entry import Entry
from lrsearch.report.comparison.settings import Domains
from lrsearch.report.comparison.text import next_step, sentences
from lrsearch.report.documents import study_document


def comparison_document(found: Comparison) -> Document:
    """The studies, the first one first; how the others compare with it; in what they differ."""
    step = next_step(found)
    return {
        "objective": found.objective.model_dump(),
        "studies": [_study(entry) for entry in found.entries],
        "compared": [asdict(each) for each in found.compared],
        "space": [
            {"part": each.part, "domains": _by_label(found, map(_plain, each.domains))}
            for each in found.searched
        ],
        "settings": [
            {"field": each.field, "values": _by_label(found, each.values)}
            for each in found.settings
        ],
        "warnings": list(warnings(found)),
        "next": None if step is None else asdict(step),
        "sentences": sentences(found),
    }


def _study(entry: Entry) -> Document:
    report, winner = entry.report, entry.report.winner
    recipe, cost, rates = report.recommended, run_cost(report), safe_rates(report)
    return {
        "label": entry.label,
        **study_document(report),
        "recipe": None if recipe is None else recipe.to_dict(),
        "trial": report.recommended_trial,
        "value": entry.value,
        "ci95": None if winner is None or winner.ci95 is None else list(winner.ci95),
        "n": len(entry.fresh),
        "run_cost": None if cost is None else asdict(cost),
        "safe_lr": None if rates is None else asdict(rates),
        "optimizers": [asdict(each) for each in entry.rates],
    }


def _by_label(found: Comparison, values: Iterable[Unchecked]) -> Document:
    return dict(zip(found.labels, values, strict=True))


def _plain(found: Domain | Domains | str | None) -> Unchecked:
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, Mapping):
        return {name: asdict(domain) for name, domain in found.items()}
    return asdict(found)
