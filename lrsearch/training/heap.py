"""Where a process that trains has its tensors: in a heap that it keeps, in large pages.

glibc gives large blocks back to the system as soon as they are freed, and so it does with memory
that is free at the end of its heap (mallopt(3)). The next step then gets new pages of 4 KB, which
the kernel clears one by one. Many small pages also overflow the processor's translation lookaside
buffer, so that it looks addresses up in memory. Linux gives pages of 2 MB to a process that asks
(madvise(2), MADV_HUGEPAGE; "Transparent Hugepage Support" in the kernel's manual). Tensors have the
same numbers at any address. What this brings: benchmarks/heap.py.
"""

import ctypes
import logging
import os
import platform
import resource

import torch

from lrsearch.training.devices import cores
from lrsearch.training.memory import free_bytes

log = logging.getLogger("lrsearch")

#: Of <malloc.h> and <sys/mman.h>.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, MADV_HUGEPAGE = -1, -3, 14
#: Bytes that a process keeps at most, and the share of the memory that is free when it begins which
#: the processes of all cores keep at most.
MOST_KEPT, SHARE = 1 << 30, 0.25
#: Where users say what the heap is to do: mallopt(3), and "Tunables" in glibc's manual.
SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")


def prepare_heap() -> bool:
    """Let this process keep memory that it has freed, in large pages; whether that is now so.

    At most 1 GiB, and at most its core's part of a quarter of the memory that is free now. Memory
    that is not used is not taken. Nothing happens where the allocator is not that of glibc 2.35 or
    later, or where the environment sets it up.
    """
    free = free_bytes(torch.device("cpu"))
    if platform.libc_ver()[0] != "glibc" or _is_set_up() or free is None:
        return False
    kept = min(MOST_KEPT, int(SHARE * free / cores()))
    libc = ctypes.CDLL(None, use_errno=True)
    # Before glibc 2.35 no block above 32 MB lay in the heap.
    if not libc.mallopt(M_MMAP_THRESHOLD, kept) or not libc.mallopt(M_TRIM_THRESHOLD, kept):
        return False
    if not _is_limited():
        _ask_for_large_pages(libc, kept // 2)
    return True


def _is_set_up() -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return "glibc.malloc" in tunables or any(name in os.environ for name in SETTINGS)


def _is_limited() -> bool:
    """Whether addresses count, used or not."""
    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return any(resource.getrlimit(each)[0] != resource.RLIM_INFINITY for each in limits)


def _ask_for_large_pages(libc: ctypes.CDLL, size: int) -> None:
    """For a block at the end of the heap, which stays there when it is freed."""
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    block = libc.malloc(size)
    if block is None:
        return
    page = resource.getpagesize()
    start = -(-block // page) * page
    if libc.madvise(start, max(0, size - page), MADV_HUGEPAGE):
        number = ctypes.get_errno()
        log.info("the heap has small pages: madvise: %s", os.strerror(number))
    libc.free(block)
