"""The proof that a script can be resumed: what is compared, and what is said."""

import math
import random

import pytest
import torch
from interrupted import InterruptedHereError, LoopRun

from lrsearch.own_loop.proof import Outcome, prove


def script(train):
    """`run_once` over a loop here, as `lrsearch check` has it over processes."""

    def run_once(*, save=None, resume=None):
        data = None if resume is None else resume.read_bytes()
        run = LoopRun(epochs=2, data=data, stop=None if save is None else 0)
        reports = []
        run.report = lambda **metrics: reports.append(metrics)
        try:
            train(run)
        except InterruptedHereError:
            save.write_bytes(run.data)
            return Outcome(reports=reports, digests={})
        return Outcome(reports=reports, digests=run.state.digests(), hints=run.state.hints())

    return run_once


def test_a_loop_that_is_exact(tmp_path):
    def train(run):
        w = torch.zeros(2, requires_grad=True)
        optimizer = torch.optim.Adam([w])
        for _ in run.epochs():
            optimizer.zero_grad()
            (w * torch.rand(2)).sum().backward()
            optimizer.step()
            run.report(val_loss=math.nan, w=w.sum().item())

    proof = prove(script(train), tmp_path)
    assert proof.exact
    assert proof.differs == ()
    assert "to the last bit" in proof.line
    assert not list(tmp_path.iterdir())


def test_a_value_that_is_not_kept_is_named(tmp_path):
    def train(run):
        best = 0.0
        for _ in run.epochs():
            best += 1
            run.report(val_loss=best)

    proof = prove(script(train), tmp_path)
    assert not proof.exact
    assert proof.differs == ("reports",)
    assert "write best = run.keep(best=best) above the loop" in proof.line


def test_an_object_out_of_sight_is_found_by_its_consequences(tmp_path):
    def drawing(seed):
        generator = torch.Generator().manual_seed(seed)
        return lambda: torch.rand(1, generator=generator)

    def train(run):
        w, draw = torch.zeros(1, requires_grad=True), drawing(1)
        for _ in run.epochs():
            with torch.no_grad():
                w += draw()
            run.report(val_loss=w.item())

    proof = prove(script(train), tmp_path)
    assert proof.differs == ("w", "reports")
    assert "NAME = run.keep(NAME=NAME)" in proof.line


def test_random_numbers_that_differ_alone(tmp_path):
    def drawing(seed):
        return random.Random(seed).random

    def train(run):
        draw = drawing(1)
        for _ in run.epochs():
            run.report(val_loss=draw())

    proof = prove(script(train), tmp_path)
    assert proof.differs == ("reports",)
    assert "run.keep(generator=generator)" in proof.line


def test_a_script_that_no_seed_repeats_cannot_be_proved(tmp_path):
    calls = []

    def train(run):
        calls.append(0)
        for epoch in run.epochs():
            run.report(val_loss=len(calls) + epoch)

    proof = prove(script(train), tmp_path)
    assert not proof.exact
    assert "two runs with one seed differ in their first epoch already" in proof.line


@pytest.mark.parametrize("missing", ["straight", "resumed"])
def test_an_object_that_one_run_lacks_differs(tmp_path, missing):
    full, less = {"model": "1", "scaler": "2"}, {"model": "1"}

    def run_once(*, save=None, resume=None):
        has_less = (resume is not None) == (missing == "resumed")
        reports = [] if save else [{"val_loss": 1.0}]
        return Outcome(reports=reports, digests=less if has_less else full)

    assert prove(run_once, tmp_path).differs == ("scaler",)


def test_negative_zero_is_another_value(tmp_path):
    def run_once(*, save=None, resume=None):
        reports = [{"val_loss": 0.0}] if save is None else []
        return Outcome(reports=[{"val_loss": -0.0}] if resume else reports, digests={"w": "1"})

    assert prove(run_once, tmp_path).differs == ("reports",)


def test_a_script_that_tells_nothing_proves_nothing(tmp_path):
    def run_once(*, save=None, resume=None):
        return Outcome(reports=[], digests={})

    proof = prove(run_once, tmp_path)
    assert not proof.exact
    assert "without a report" in proof.line
