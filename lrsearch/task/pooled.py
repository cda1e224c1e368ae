"""Metrics that are no means over batches: functions of all outputs and targets of a set."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from lrsearch.errors import TaskError
from lrsearch.plain_data import Fields

#: What is made of outputs before a metric sees them.
Takes = Literal["outputs", "classes", "probabilities"]
TAKES = ("outputs", "classes", "probabilities")
#: What a pooled metric may keep on the processor: outputs and targets of 1 GiB, as 10 million
#: samples of 20 numbers (float32) and a label have.
MOST_BYTES = 2**30


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """A metric over a whole set; `pooled` makes it."""

    function: Callable[..., Any]
    takes: Takes | None
    most_bytes: int
    keywords: Fields = field(default_factory=dict)

    def __call__(self, outputs: Any, targets: Any) -> Any:
        """Of a single batch, as the function takes it."""
        return self.function(outputs, targets, **self.keywords)


def pooled(
    function: Callable[..., Any],
    *,
    takes: Takes | None = None,
    most_bytes: int = MOST_BYTES,
    **keywords: Any,
) -> Any:
    """A metric of all outputs and targets of a set, for `Task(metrics=...)`.

    `function(outputs, targets, **keywords)` is called once a validation, with the outputs of all
    samples and their targets, each joined along its first dimension, on the processor; it returns
    a number. One of scikit-learn's is called as `function(targets, outputs, **keywords)`, with
    numpy arrays.

    `takes` says what the function gets in place of the outputs, which are taken for logits:
    `"classes"` (the largest of `[N, C, ...]`, else whether it is above 0), `"probabilities"`
    (softmax of `[N, C, ...]`, of the second class alone where C = 2; else the logistic function),
    or `"outputs"` as they are. By default a function of scikit-learn gets what its kind needs
    (classes for `f1_score`, probabilities for `roc_auc_score` and `log_loss`, outputs for
    `r2_score`), any other the outputs.

    Outputs and targets are kept on the processor, `most_bytes` bytes at most for each trial that is
    validated, 1 GiB by default; beyond it a validation fails with TaskError.

    Raises TaskError for what is no function, for another `takes`, and for `most_bytes` below 1.
    """
    if not callable(function):
        raise TaskError(f"pooled() got {type(function).__name__}, but a function is needed")
    if takes is not None and takes not in TAKES:
        raise TaskError(f"pooled(takes={takes!r}), but one of {', '.join(TAKES)} is needed")
    if most_bytes < 1:
        raise TaskError(f"pooled(most_bytes={most_bytes}), but a whole number from 1 is needed")
    return Pooled(function=function, takes=takes, most_bytes=most_bytes, keywords=keywords)
