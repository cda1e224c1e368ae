"""What a study has cost against its plan, and what one training of its recipe costs."""

from lrsearch.advice.cost import CostPlan
from lrsearch.report.answer.run_cost import RunCost
from lrsearch.report.cost import Parts
from lrsearch.report.model import Report
from lrsearch.report.text.format import amount, duration, length_unit
from lrsearch.report.text.subject import main_part
from lrsearch.spec.study_spec import StudySpec

#: What the parts of a study are called; None: as `subject.main_part` has it.
PART_NAMES = {
    "range_test": "range test",
    "search": None,
    "audit": "audit",
    "confirm": "confirmation",
}


def planned_epochs(plan: CostPlan) -> dict[str, float | None]:
    """Epochs at most, by part; None where nothing bounds it. The audit's are in the search's."""
    return {"range_test": plan.range_test, "search": plan.search, "confirm": plan.confirm}


def part_names(parts: Parts, spec: StudySpec) -> list[tuple[str, str, float]]:
    """Each part of a study: its key, its name, its amount."""
    main = main_part(spec)
    return [(key, name or main, float(getattr(parts, key))) for key, name in PART_NAMES.items()]


def cost_text(report: Report) -> str:
    """What the study has cost, against the plan."""
    planned = planned_epochs(report.plan)
    unit = length_unit(report.spec)
    parts = []
    for key, name, spent in part_names(report.epochs, report.spec):
        most = planned.get(key)
        if most:
            parts.append(f"{name} {amount(spent)} of at most {amount(most)}")
        elif spent or key == "search":
            parts.append(f"{name} {amount(spent)}")
    time = duration(report.seconds.total)
    return f"Cost in {unit}: {', '.join(parts)}; training time {time}."


def run_cost_sentence(cost: RunCost, unit: str) -> str:
    """`One training with this recipe is 30 epochs and takes 12 s.`; `unit` is that of a length."""
    length = "takes" if cost.epochs is None else f"is {amount(cost.epochs)} {unit} and takes"
    text = f"One training with this recipe {length} {duration(cost.seconds)}"
    return f"{text}, in a program that trains several at once." if cost.shared else f"{text}."
