"""Whether two installs of lrsearch train the same, to the last bit: before and after a refactoring.

Twenty recipes (every optimizer, every schedule) are trained by each install through its command
line, in two studies: an MLP; and one with batch normalisation and dropout, its gradients
accumulated and clipped, the averaged weights deployed. That is done one by one, in cohorts, and in
both ways with workers that are interrupted and resumed from a checkpoint. A search on digits with
one worker follows. Compared are each trial's recipe, state and value; every row of its learning
curve; and at every validation, the last one included, a digest of all weights and buffers: the
models give their weights beside their outputs, and a metric takes 40 bits of a SHA-256 of them.

Nothing of lrsearch is imported here, so that any of its modules may be renamed. On CPU, one thread.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from installs import CommandError
from same_bits_side import ENGINES, Engine, Result, Side
from same_bits_studies import Study

OF_TRIALS = ("recipe", "kind", "state", "value", "epochs", "reason", "metrics")
OF_CURVES = ("step", "epoch", "lr", "train_loss", "val_loss", "val_loss_ema", "grad_norm")
WEIGHTS = "weights"
#: Differences of each engine that are told in words.
TOLD = 5

_started = time.monotonic()
_printing = threading.Lock()


@dataclass(kw_only=True)
class Count:
    """What was compared in one engine."""

    title: str
    trials: int = 0
    validations: int = 0
    weights: int = 0
    #: Trials, validations and digests that are not equal, or not on both sides.
    differing: int = 0
    words: list[str] = field(default_factory=list)

    def differs(self, what: str) -> None:
        self.differing += 1
        self.words.append(f"{self.title}, {what}")


def compare(engine: Engine, study: Study, before: Result, after: Result, count: Count) -> None:
    for result in (before, after):
        for trouble in result.troubles:
            count.differs(f"{study.name}: {trouble}")
    numbers = set(range(study.trials))
    for number, old, new in pairs(numbers, before.trials, after.trials):
        count.trials += 1
        place = f"{study.name} trial {number}"
        if what := difference(old, new, OF_TRIALS):
            count.differs(f"{place}: {what}")
    expected = {(n, v + 1) for n in numbers for v in range(study.validations)}
    for (number, validation), old, new in pairs(expected, before.curves, after.curves):
        count.validations += 1
        place = f"{study.name} trial {number}, validation {validation}"
        if what := difference(old, new, OF_CURVES):
            count.differs(f"{place}: {what}")
        count.weights += 1
        if what := difference(old, new, (WEIGHTS,)):
            count.differs(f"{place}: {what}")


def pairs(
    expected: set[Any], before: Mapping[Any, Any], after: Mapping[Any, Any]
) -> Iterator[tuple[Any, Any, Any]]:
    """What is expected or there, with what each side has; None is absent."""
    for key in sorted(expected | before.keys() | after.keys()):
        yield key, before.get(key), after.get(key)


def difference(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, keys: tuple[str, ...]
) -> str | None:
    """The first field that is not equal to the bit, or not there; None if there is none."""
    if old is None or new is None:
        absent = [name for name, side in (("before", old), ("after", new)) if side is None]
        return f"absent {' and '.join(absent)}"
    for key in keys:
        if key not in old or key not in new:
            return f"{key} is not told"
        if bits(old[key]) != bits(new[key]):
            return f"{key} was {old[key]!r}, is {new[key]!r}"
    return None


def bits(value: Any) -> Hashable:
    """As text, which tells -0.0 from 0.0 and NaN from none; JSON has all digits of a float."""
    if isinstance(value, dict):
        return tuple((key, bits(value[key])) for key in sorted(value))
    return repr(value)


def trained(places: Mapping[str, Path]) -> list[dict[tuple[str, str], Result]]:
    """What each side gives, by engine and study; both sides at once."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="same-bits-")))
        sides = []
        for name, place in places.items():
            side = Side(name, place, folder / name, log)
            stack.callback(side.close)
            log(f"{name}: {side.package}, torch {side.torch}")
            sides.append(side)
        with ThreadPoolExecutor(len(sides)) as pool:
            return list(pool.map(Side.train, sides))


def count_all(before: Mapping[Any, Result], after: Mapping[Any, Result]) -> list[Count]:
    counts = []
    for engine in ENGINES:
        count = Count(title=engine.title)
        for study in engine.studies:
            key = engine.title, study.name
            compare(engine, study, before[key], after[key], count)
        counts.append(count)
    return counts


def table(counts: list[Count]) -> str:
    heads = ("trials", "validations", "weights", "differ")
    lines = ["".join(f"{head:>13}" for head in heads).join([f"{'engine':24}", ""])]
    for count in counts:
        cells = (count.trials, count.validations, count.weights, count.differing)
        lines.append(f"{count.title:24}" + "".join(f"{cell:13,}" for cell in cells))
    lines.append("")
    for count in counts:
        lines += count.words[:TOLD]
        if count.differing > TOLD:
            lines.append(f"{count.title}: {count.differing - TOLD} more")
    total = sum(count.differing for count in counts)
    lines.append(f"{total} differences" if total else "The same to the last bit.")
    return "\n".join(lines)


def log(line: str) -> None:
    with _printing:
        print(f"{time.monotonic() - _started:5.0f} s  {line}", file=sys.stderr)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="Example: python benchmarks/same_bits.py --before ../lrsearch-0.1 --after .",
    )
    text = "a checkout (trained with this Python), a virtual environment, or its Python"
    parser.add_argument("--before", type=Path, required=True, metavar="PATH", help=text)
    parser.add_argument("--after", type=Path, required=True, metavar="PATH", help="the same")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    try:
        before, after = trained({"before": options.before, "after": options.after})
    except CommandError as error:
        sys.exit(f"Error: {error}")
    counts = count_all(before, after)
    print(table(counts))
    sys.exit(1 if any(count.differing for count in counts) else 0)


if __name__ == "__main__":
    main()
