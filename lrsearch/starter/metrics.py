"""Which of the lines that a script prints has a validation metric, and a pattern for its number."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lrsearch.starter.messages import SAMPLE, Hole, Line, rendered
from lrsearch.starter.roles import words_in

#: Words of a metric to its usual name; those that are better the higher are in HIGHER.
KINDS: Mapping[str, str] = {
    "loss": "loss",
    "losses": "loss",
    "nll": "nll",
    "ppl": "ppl",
    "perplexity": "ppl",
    "bpc": "bpc",
    "acc": "accuracy",
    "accuracy": "accuracy",
    "accuracies": "accuracy",
    "top1": "accuracy",
    "f1": "f1",
    "auc": "auc",
    "auroc": "auc",
    "bleu": "bleu",
    "miou": "iou",
    "iou": "iou",
    "dice": "dice",
    "psnr": "psnr",
    "ssim": "ssim",
    "score": "score",
    "mse": "mse",
    "rmse": "rmse",
    "mae": "mae",
    "error": "error",
    "err": "error",
    "wer": "wer",
    "fid": "fid",
}
HIGHER = frozenset({"accuracy", "f1", "auc", "bleu", "iou", "dice", "psnr", "ssim", "score"})
VALIDATION = frozenset(
    {"val", "valid", "validation", "validate", "eval", "evaluation", "evaluate", "dev", "holdout"}
)
TEST = frozenset({"test", "testing", "tests"})
TRAINING = frozenset({"train", "training", "tr"})
#: Groups for a number, the most readable first. The last ends before a point or a unit.
NUMBERS = (r"(\S+)", r"([-+.\w]+)", r"([-+]?[\d.]*\d(?:e[-+]?\d+)?|nan|inf)")
#: A value called so is none of a metric, whatever stands beside it.
_OTHER = frozenset(
    {"time", "epoch", "epochs", "lr", "step", "steps", "iter", "batch", "elapsed", "eta", "ms"}
    | {"seconds", "sec", "speed", "best", "count", "len", "total", "norm"}
)
#: Values that hold several metrics by name.
_SEVERAL = frozenset({"metric", "metrics", "result", "results", "scores", "stats"})


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that a script prints."""

    name: str
    direction: str
    #: A regular expression with one group.
    pattern: str
    #: A regular expression for the number of the step in the same line; empty where there is none.
    step: str
    #: The line of the script.
    number: int
    #: The expression that is printed.
    source: str
    #: How likely it is the one to search by.
    score: float
    #: It is measured on what the script calls its test set, or on training data.
    on: str

    @property
    def is_sure(self) -> bool:
        return self.score >= 2


def metrics(lines: Sequence[Line]) -> list[Metric]:
    """The metrics that a script prints, the likeliest first."""
    found = [metric for line in lines for metric in _of_line(line, lines)]
    return sorted(found, key=lambda metric: -metric.score)


def _of_line(line: Line, lines: Sequence[Line]) -> Iterator[Metric]:
    for place, hole in enumerate(line.parts):
        if not isinstance(hole, Hole):
            continue
        label = words_in(_segment(line.before(place)))
        own = words_in(hole.source)
        if line.after(place).startswith("/") or line.before(place).strip() in ("/", "("):
            continue  # a count of a total, or a part of another number
        kind = _kind(label) or (_kind(own) if not _OTHER & {*label} else None)
        if kind is None or (label and label[-1] in _OTHER):
            if _SEVERAL & {*own} and not {*label[-1:]} & {"time"}:
                yield from _of_several(line, place, lines)
            continue
        pattern = _pattern(line, place, lines)
        if not pattern:
            continue
        said = words_in(" ".join(part for part in line.parts[:place] if isinstance(part, str)))
        on, score = _where({*label, *own}, {*said}, {*words_in(line.function)})
        score += 0.5 if kind == "loss" else 0.0
        score -= (0.0 if line.repeated else 3.0) + (1.5 if line.inner else 0.0)
        score -= 2.0 if "best" in label or "best" in own else 0.0
        yield Metric(
            name=f"{on}_{kind}" if on else kind,
            direction="maximize" if kind in HIGHER else "minimize",
            pattern=pattern,
            step=_step(line, place),
            number=line.number,
            source=hole.source,
            score=score,
            on=on,
        )


def _kind(words: Sequence[str]) -> str | None:
    """What the last word of a metric says: `acc@1`, `top-1` and `top1` are the same."""
    joined = [*words, *(a + b for a, b in pairwise(words))]
    return next((KINDS[word] for word in reversed(joined) if word in KINDS), None)


def _where(near: set[str], said: set[str], function: set[str]) -> tuple[str, float]:
    """On which data a metric is measured, and how sure that is: 4 beside it, less farther off."""
    for words, weight in ((near, 4.0), (said, 3.0), (function, 2.0)):
        if words & VALIDATION:
            return "val", weight
        if words & TEST:
            return "test", weight - 0.5
        if words & TRAINING:
            return "train", -weight
    return "", 0.0


def _of_several(line: Line, place: int, lines: Sequence[Line]) -> Iterator[Metric]:
    """A value that prints as `{'accuracy': 0.8}`: its names are not in the script. Or a number."""
    hole = line.parts[place]
    assert isinstance(hole, Hole)
    own = words_in(hole.source)
    on, score = _where({*own}, {*words_in(rendered(line.parts))}, {*words_in(line.function)})
    pattern = _pattern(line, place, lines) if hole.is_number else r"'accuracy': ([-+.\w]+)"
    if not pattern:
        return
    yield Metric(
        name=f"{on}_accuracy" if on else "accuracy",
        direction="maximize",
        pattern=pattern,
        step=_step(line, place),
        number=line.number,
        source=hole.source,
        score=min(score, 1.0) if line.repeated else -3.0,
        on=on,
    )


def _segment(text: str) -> str:
    """The last part of a text, after commas, bars and brackets: what belongs to the next value."""
    return re.sub(r"^\W+(?=.*\w)", "", re.split(r"[|,;\t\[({#]|  +|- ", text)[-1])


def _pattern(line: Line, place: int, lines: Sequence[Line]) -> str:
    """The shortest pattern that finds this number and no other in what the script prints.

    Empty where nothing that is printed tells it from what stands beside it.
    """
    hole, before = line.parts[place], line.before(place)
    assert isinstance(hole, Hole)
    gap = before[len(before.rstrip()) :]
    if hole.padded:
        gap = " +" if gap.endswith(" ") else " *"
    longer = ".*?".join(escaped(part) for part in line.parts[:place] if isinstance(part, str))
    tries = [escaped(_segment(before)), escaped(before.lstrip()), longer, f"^{longer}"]
    patterns = [
        f"{text.rstrip()}{gap}{number}"
        for text in tries
        if before and re.search(r"\w", text)
        for number in NUMBERS
    ]
    return next((pattern for pattern in patterns if _is_alone(pattern, line, place, lines)), "")


def _step(line: Line, place: int) -> str:
    """Where the same line says the step, before the metric: scripts without epochs count so."""
    for earlier, hole in enumerate(line.parts[:place]):
        label = line.before(earlier)
        if isinstance(hole, Hole) and words_in(label)[-1:] in (["step"], ["iter"], ["iteration"]):
            return f"{escaped(_segment(label))}(?P<step>\\d+)"
    return ""


def escaped(text: str) -> str:
    """A literal text as a regular expression."""
    return re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", text).replace("\t", r"\t")


def _is_alone(pattern: str, line: Line, place: int, lines: Sequence[Line]) -> bool:
    """Whether it reads the value at this place, whole, and matches no other line."""
    before = rendered(line.parts[:place])
    found = re.search(pattern, rendered(line.parts))
    if found is None or found.span(1) != (len(before), len(before) + len(SAMPLE)):
        return False
    return not any(
        re.search(pattern, rendered(other.parts)) for other in lines if other.parts != line.parts
    )
