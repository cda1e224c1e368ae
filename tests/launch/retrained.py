"""Whether what a fleet has trained is what each recipe gives undisturbed."""

import sys
from pathlib import Path

from tiny_studies import tiny_task

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import chaos_checks


def assert_same_bits(search):
    """Every validation and confirmation run; which recipes there are depends on who was first."""
    checks = list(chaos_checks.same_bits(chaos_checks.look(search), tiny_task()))
    assert checks[0].count > 0
    assert [line for check in checks for line in check.broken] == []
