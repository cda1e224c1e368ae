"""How fast fixed recipes are trained: the usual loop, the best one, and lrsearch's engines.

N recipes, half SGD with momentum and cosine, half AdamW with other schedules, are trained on a task
without sampling and without pruning. In lrsearch's engines as a worker trains them: with the weight
average, validated at rungs and at the end. No database has part in it: overhead.py measures that.

The clock is process CPU time of one core; on a GPU it is wall time after synchronising. Variants
take turns within a round, ratios are within one round. Round 0 warms up: in it cohorts record their
step, as they do once in a study. A pass in float64 checks that all do the same work: every recipe
ends with the same validation loss.

Run it: python benchmarks/throughput.py --task studies/digits.py:task
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import optuna
import torch
from cohort_memory import measure_memory
from engine_loops import choose
from overhead import log, processor, ratio, shown
from plain_loops import Work
from throughput_rounds import (
    Bench,
    DifferentWorkError,
    Spent,
    diverging,
    largest_differences,
    make_bench,
    run_round,
    same_work,
    variants,
    warm_up,
)

from lrsearch import LrsearchError
from lrsearch.fusing.choice import Choice
from lrsearch.training.devices import pick_device

#: What lrsearch is set beside.
BASELINES = ("usual", "best_solo")


def measure(
    bench: Bench, rounds: int, *, memory: bool, at_once: Sequence[int] = ()
) -> dict[str, Any]:
    """Seconds and ratios of all variants, and by how much their losses differ.

    Cohorts have `at_once` places, without any 2, 4, 8 and so on, and as many as is chosen.
    """
    work = bench.work
    log("probe and calibration")
    steps = work.recipes[0].total_steps(work.steps_per_epoch)
    choice = choose(bench.spec, bench.cache, work.recipes, steps)
    sizes = [1]
    if choice.fits:
        doubled = {2**i for i in range(1, len(work.recipes).bit_length())}
        sizes += sorted((set(at_once) or doubled) | {choice.size} - {1})
    every = variants(bench, sizes)
    losses = warm_up("round 0", bench, sizes)
    diverged = diverging(losses)
    work = replace(work, recipes=[r for i, r in enumerate(work.recipes) if i not in diverged])
    check = {
        "diverged": diverged,
        "float64": same_work(replace(bench, work=work), sizes),
        "float32": largest_differences(losses, diverged),
    }
    rows = [
        run_round(f"round {number} of {rounds}", every, work, first=number)[1]
        for number in range(1, rounds + 1)
    ]
    times = {name: [row[name] for row in rows] for name in every}
    return {
        **chosen(choice),
        **figures(times, work, choice),
        "memory": measure_memory(bench) if memory and choice.fits else None,
        "check": check,
    }


def chosen(choice: Choice) -> dict[str, Any]:
    return {
        "engine": choice.engine,
        "K": choice.size,
        "reason": choice.reason,
        "fits": choice.fits,
        "probe_s": choice.probe_seconds,
        "calibration_s": choice.calibration_seconds,
    }


def figures(times: Mapping[str, Sequence[Spent]], work: Work, choice: Choice) -> dict[str, Any]:
    """Per trial and as ratios; above 1, lrsearch is faster. `auto` is the variant it chose."""
    on_cpu = work.device.type == "cpu"
    clock = {name: [s.cpu if on_cpu else s.wall for s in spent] for name, spent in times.items()}
    spreads = {
        name: {f"vs_{other}": asdict(ratio(clock[other], clock[name])) for other in BASELINES}
        for name in times
        if name not in BASELINES
    }
    spreads["auto"] = spreads["solo" if choice.size == 1 else f"fused_{choice.size}"]
    trials = len(work.recipes)
    shares = {name: [s.busy for s in spent if s.busy is not None] for name, spent in times.items()}
    return {
        "clock": "process CPU time" if on_cpu else "wall time",
        "ratios": {
            name: {key: spread["median"] for key, spread in row.items()}
            for name, row in spreads.items()
        },
        "spreads": spreads,
        "cpu_seconds": {name: median(s.cpu for s in t) / trials for name, t in times.items()},
        "wall_seconds": {name: median(s.wall for s in t) / trials for name, t in times.items()},
        "gpu_busy": {name: median(seen) for name, seen in shares.items() if seen},
    }


# Output.


def table(result: Mapping[str, Any]) -> str:
    lines = [
        f"{result['processor']}, torch {result['torch']}, {result['device']}, 1 thread",
        f"{result['task']}: {result['trials']} recipes, {result['epochs']} epochs; no database",
        f"{result['rounds']} rounds in turn, {result['clock']}; median (lowest..highest), above 1 "
        f"lrsearch is faster",
        "",
        f"{'':10}{'cpu ms/trial':>14}{'wall ms/trial':>14}{'vs usual':>21}{'vs best_solo':>21}",
    ]
    for name, seconds in result["cpu_seconds"].items():
        row = f"{name:10}{1000 * seconds:14.1f}{1000 * result['wall_seconds'][name]:14.1f}"
        for spread in result["spreads"].get(name, {}).values():
            row += f"{shown(spread):>21}"
        if name in result["gpu_busy"]:
            row += f"  GPU busy {result['gpu_busy'][name]:.0%}"
        lines.append(row)
    return "\n".join([*lines, "", *remarks(result)])


def remarks(result: Mapping[str, Any]) -> list[str]:
    """What was chosen, the memory, and whether all did the same work."""
    check, memory = result["check"], result["memory"]
    name = "solo" if result["K"] == 1 else f"fused_{result['K']}"
    lines = [
        f"auto: {name} ({result['reason']}); probe {result['probe_s']:.2f} s, calibration "
        f"{result['calibration_s']:.2f} s, not part of the ratios",
        f"largest difference of a validation loss from the usual loop's: "
        f"{max(check['float64'].values()):.0e} in float64, {max(check['float32'].values()):.0e} "
        f"in float32",
    ]
    if memory is not None:
        found = memory["measured_mib"]
        lines.append(
            f"memory per fused trial: {'not' if found is None else f'{found:.1f} MiB'} measured, "
            f"{memory['estimated_mib']:.1f} MiB estimated"
        )
    if check["diverged"]:
        lines.append(f"diverged and left out: recipes {', '.join(map(str, check['diverged']))}")
    return lines


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--task", required=True, help="FILE.py:attribute, a Task of tensors")
    parser.add_argument("--trials", type=int, default=16, help="recipes (16)")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of each (5)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (5)")
    parser.add_argument(
        "--at-once", type=int, nargs="+", default=[], metavar="K", help="trials (2, 4, 8 and so on)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (cpu)")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory unmeasured")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    options = parser.parse_args()
    for name in ("trials", "epochs", "rounds"):
        if getattr(options, name) < 1:
            parser.exit(2, f"Error: --{name} {getattr(options, name)}: at least 1 is needed\n")
    for size in options.at_once:
        if not 2 <= size <= options.trials:
            parser.exit(2, f"Error: --at-once {size}: 2 to {options.trials}, the trials\n")
    return options


def pin() -> None:
    """Onto one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> None:
    options = parse_options()
    torch.set_num_threads(1)
    try:
        device = pick_device(options.device)
        if device.type == "cpu":
            pin()
        bench = make_bench(options.task, options.trials, options.epochs, device)
        result = measure(
            bench, options.rounds, memory=not options.no_memory, at_once=options.at_once
        )
    except (LrsearchError, DifferentWorkError) as error:
        sys.exit(f"Error: {error}")
    named = {name: getattr(options, name) for name in ("task", "trials", "epochs", "rounds")}
    result = {
        **named,
        "device": options.device,
        "processor": processor(),
        "torch": torch.__version__,
        "optuna": optuna.__version__,
        **result,
    }
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
