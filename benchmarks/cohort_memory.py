"""Memory that a trial takes in a fused cohort, measured in processes of their own."""

import ctypes
import gc
import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from engine_loops import engine_of, trial_bytes
from overhead import log
from throughput_rounds import Bench, make_bench

#: Steps that a measured cohort trains: by then the optimizers have their state.
STEPS = 4
MIB = 2**20
#: So much memory the larger of two measured cohorts takes, about; its trials, fewest and most.
MEASURED_BYTES, FEWEST, MOST = 400 * MIB, 8, 64


def measure_memory(bench: Bench) -> dict[str, Any]:
    """MiB per fused trial: measured, and as a worker estimates it.

    Measured is what a cohort needs beyond one of two, per trial more; None where the system does
    not tell what a process needed at most.
    """
    log("memory")
    estimated = trial_bytes(bench.spec, bench.cache)
    many = max(FEWEST, min(MOST, MEASURED_BYTES // max(1, estimated)))
    peaks = [_peak(bench, size) for size in (2, many)]
    known = None not in peaks
    return {
        "measured_mib": (peaks[1] - peaks[0]) / (many - 2) / MIB if known else None,
        "estimated_mib": estimated / MIB,
    }


def _peak(bench: Bench, size: int) -> Any:
    """Bytes that a new process needs at most to train `size` trials."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, bench.reference, str(bench.work.device), size)
    process = context.Process(target=_tell_peak, args=arguments)
    process.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        process.join()


def _tell_peak(answer: Connection, reference: str, device: str, size: int) -> None:
    torch.set_num_threads(1)
    bench = make_bench(reference, size, STEPS, torch.device(device))
    bench.cache.splits(bench.work.recipes[0])  # the data, once more
    gc.collect()
    known = forget_peak()
    cohort = engine_of(bench.spec, bench.cache, bench.work.recipes[0], size)
    for recipe in bench.work.recipes:
        cohort.admit(recipe)
    cohort.advance(STEPS)
    if bench.work.device.type == "cuda":
        answer.send(torch.cuda.max_memory_allocated(device))
    else:
        # Not getrusage: its maximum includes the parent's, from before the exec.
        lines = Path("/proc/self/status").read_text().splitlines() if known else []
        peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
        answer.send(peaks[0] if peaks else None)


def forget_peak() -> bool:
    """Let Linux count this process's peak from here: loading the data may have needed more."""
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # what was freed goes back, so that it is not used again uncounted
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True
