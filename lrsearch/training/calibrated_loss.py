"""The calibrated loss: cross-entropy over a set, with the temperature that suits the set best.

    min over T > 0 of mean(cross_entropy(logits / T, target))      (Guo et al. 2017, section 4.2)

A network that has begun to overfit is too sure of itself, and its cross-entropy rises while its
choices still get better; the temperature takes that part out.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._pytree import PyTree

from lrsearch.errors import TaskError
from lrsearch.spec.parts import CALIBRATED
from lrsearch.training.precision import widest_float

#: `(output, target) -> scalar`: the loss, or a metric, of a batch.
Score = Callable[[PyTree, PyTree], Tensor]
#: Inverse temperatures at which batches are added up, two to a doubling. Between two of them the
#: mean is interpolated: of 300 random sets the result was off by 2e-8 of itself in the median, by
#: 5e-7 at most. None beyond: a set that the network sorts without error has no best temperature.
NODES = tuple(2.0 ** (exponent / 2) for exponent in range(-10, 13))
#: Numbers that are made at once, logits times nodes: what a CPU's cache holds, 128 MB elsewhere.
#: On one core of an EPYC (Zen 4) a node takes 4 to 5 ns a logit; ten times that with 64 MB at once.
AT_ONCE, AT_ONCE_ELSEWHERE = 2**18, 2**25
#: A logit so far below the largest has no weight at any node; -inf times none would be NaN.
DEEPEST = -1e6
#: exp(-80) is none beside 1, and numbers much smaller, denormal, take a CPU twice the time.
LEAST_EXPONENT = -80.0
#: How far, relative, a loss may be from torch's cross-entropy on a batch and still count as it.
SAME_LOSS = 1e-4


class CalibratedLoss:
    """A metric that is no mean over batches: `pool` takes what is validated, batch by batch."""

    def __init__(self, weight: Tensor | None = None, ignore_index: int = -100) -> None:
        self.weight, self.ignore_index = weight, ignore_index

    @classmethod
    def of(cls, loss: Score) -> "CalibratedLoss":
        """With the class weights of a cross-entropy, and without its label smoothing.

        Smoothing is a means of training; what the search compares is the likelihood of the labels.
        """
        if isinstance(loss, nn.CrossEntropyLoss):
            return cls(loss.weight, loss.ignore_index)
        if isinstance(loss, partial) and loss.func is cross_entropy:
            return cls(loss.keywords.get("weight"), loss.keywords.get("ignore_index", -100))
        return cls()

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Of a single batch."""
        pool = self.pool()
        pool.add(output, target, len(target))
        return torch.tensor(pool.value())

    def pool(self) -> "Pool":
        return Pool(self)


class Pool:
    """Sums over the samples seen so far, from which the calibrated loss of all of them follows.

    They stay on the device until `value`. At each inverse temperature b: the cross-entropy of
    b x logits, and its first two derivatives by b.
    """

    def __init__(self, metric: CalibratedLoss) -> None:
        self.metric = metric
        self._nodes: Tensor | None = None
        #: Sums [3, nodes], and the weight of the samples in them.
        self._sums: Tensor | None = None
        self._weight: Tensor | None = None

    def add(self, output: Tensor, target: Tensor, size: int) -> None:
        """`output` [N, C, ...] and classes `target` [N, ...], or classes last in `output`."""
        logits_NC, target_N = _rows(output, target)
        if self._nodes is None:
            self._nodes = torch.tensor(NODES, dtype=logits_NC.dtype, device=logits_NC.device)
        at_once = AT_ONCE if logits_NC.device.type == "cpu" else AT_ONCE_ELSEWHERE
        rows = max(1, at_once // (len(NODES) * logits_NC.shape[1]))
        with torch.autocast(logits_NC.device.type, enabled=False):
            for logits, classes in zip(
                torch.split(logits_NC, rows), torch.split(target_N, rows), strict=True
            ):
                self._add(logits, classes, self._nodes)

    def _add(self, logits_NC: Tensor, classes_N: Tensor, nodes_K: Tensor) -> None:
        weights_N = self._weights(classes_N, logits_NC)
        sums = [moment_KN @ weights_N for moment_KN in _moments(logits_NC, classes_N, nodes_K)]
        sums_3K, weight = torch.stack(sums).to(widest_float(logits_NC.device)), weights_N.sum()
        self._sums = sums_3K if self._sums is None else self._sums + sums_3K
        self._weight = weight if self._weight is None else self._weight + weight

    def _weights(self, classes: Tensor, logits: Tensor) -> Tensor:
        kept = classes != self.metric.ignore_index
        if self.metric.weight is None:
            return kept.to(logits.dtype)
        weight = self.metric.weight.to(logits)
        return torch.where(kept, weight[classes.clamp(0, len(weight) - 1)], 0.0)

    def value(self) -> float:
        """The calibrated loss; NaN if a logit was, or if no sample has a weight."""
        if self._sums is None or self._weight is None:
            return math.nan
        sums, weight = self._sums.cpu().double(), float(self._weight)
        return _least(sums / weight) if weight > 0 else math.nan


def _rows(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [rows, C] and classes [rows], whichever dimension of the output the classes are."""
    if target.shape != (len(output), *output.shape[2:]):
        output = output.movedim(-1, 1)
    logits = output.movedim(1, -1).flatten(0, -2)
    return logits if logits.dtype == torch.float64 else logits.float(), target.flatten()


def _moments(
    logits_NC: Tensor, classes_N: Tensor, nodes_K: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of each sample at each node the cross-entropy, its slope and its curvature, [K, N] each."""
    index = classes_N.clamp(0, logits_NC.shape[1] - 1)[:, None]  # an ignored one may be any number
    below_NC = (logits_NC - logits_NC.amax(dim=1, keepdim=True)).clamp_min(DEEPEST)
    own_N = below_NC.gather(1, index)[:, 0]
    shares_KNC = (nodes_K[:, None, None] * below_NC).clamp_min_(LEAST_EXPONENT).exp_()
    total_KN = shares_KNC.sum(-1)
    shares_KNC *= below_NC
    mean_KN = shares_KNC.sum(-1) / total_KN
    shares_KNC *= below_NC
    square_KN = shares_KNC.sum(-1) / total_KN
    entropy_KN = total_KN.log() - nodes_K[:, None] * own_N
    return entropy_KN, mean_KN - own_N, square_KN - mean_KN**2


def _least(means_3K: Tensor) -> float:
    """The smallest mean over all inverse temperatures in the range of the nodes.

    `means_3K`: the mean, which is convex in b, and its two derivatives. By ln b they are b x slope
    and b x slope + b^2 x curvature; with them a polynomial of degree 5 joins two nodes.
    """
    from scipy.interpolate import BPoly
    from scipy.optimize import brentq

    value, slope, curvature = means_3K
    if not value.isfinite().all():
        return math.nan
    falls = int((slope < 0).sum())  # convex: they come first
    if falls in (0, len(NODES)):
        return float(value[min(falls, len(NODES) - 1)])
    b = torch.tensor(NODES, dtype=value.dtype)
    by_log = torch.stack([value, b * slope, b * slope + b**2 * curvature], dim=1)
    two = slice(falls - 1, falls + 1)
    ends = b[two].log().tolist()
    between = BPoly.from_derivatives(ends, by_log[two].tolist())
    return float(between(brentq(between.derivative(), *ends)))


def check_cross_entropy(loss: Score, output: PyTree, target: PyTree) -> None:
    """Raises TaskError unless the loss is a cross-entropy of classes, as this batch shows."""
    obstacle = _obstacle(loss, output, target)
    if obstacle is not None:
        raise TaskError(
            f"objective = {CALIBRATED!r}, but {obstacle}; a mean cross-entropy of outputs "
            f"[N, C, ...] and class numbers [N, ...] is accepted, so take val_loss or a metric"
        )


def _obstacle(loss: Score, output: PyTree, target: PyTree) -> str | None:
    if not isinstance(output, Tensor) or not output.is_floating_point() or output.ndim < 2:
        return f"the model's output is {_words(output)}"
    if not isinstance(target, Tensor) or target.dtype != torch.int64:
        return f"the targets are {_words(target)}"
    classes_second = target.shape == (len(output), *output.shape[2:])
    if not classes_second and target.shape != output.shape[:-1]:
        return f"the targets are {_words(target)} beside {_words(output)}"
    if isinstance(loss, nn.CrossEntropyLoss):
        return None if loss.reduction == "mean" else f"the loss has reduction {loss.reduction!r}"
    if loss is cross_entropy or (isinstance(loss, partial) and loss.func is cross_entropy):
        return None
    theirs = float(loss(output, target))
    logits, classes = _rows(output, target)
    ours = float(cross_entropy(logits, classes))
    if math.isclose(theirs, ours, rel_tol=SAME_LOSS, abs_tol=SAME_LOSS):
        return None
    return f"the loss of a batch is {theirs:.6g}, where its cross-entropy is {ours:.6g}"


def _words(value: PyTree) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
