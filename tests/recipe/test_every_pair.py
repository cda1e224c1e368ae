"""Every optimizer with every schedule: it trains, with torch's own learning rates, or is refused in
one line. The table in docs/space.md says which."""

import re
from pathlib import Path

import pairs
import pytest
import reference
import torch
from small import make_recipe, make_task, make_training, run
from torch import nn
from torch.optim import SGD

from lrsearch.catalog.compatibility import illegal, illegal_pair, takes_warmup
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError

DOCS = (Path(__file__).parents[2] / "docs" / "space.md").read_text(encoding="utf-8")
PAIRS = [(optimizer, schedule) for optimizer in OPTIMIZERS for schedule in SCHEDULES]
LEGAL = [pair for pair in PAIRS if illegal_pair(*pair) is None]
#: Where the regression below is learned in time.
LRS = {
    "adagrad": 3.0,
    "adadelta": 30.0,
    "adafactor": 1.0,
    "radam": 0.5,
    "adamax": 0.5,
    "adam": 0.3,
    "adamw": 0.3,
    "nadam": 0.3,
    "muon": 1.0,
    "rmsprop": 0.05,
    "rprop": 0.1,
}
#: The fields for which `reference.PLAIN_SCHEDULERS` stand.
FIELDS = {
    "step": {"step_size": 1 / 3, "gamma": 0.1},
    "multistep": {"milestones": [1 / 3, 2 / 3], "gamma": 0.3},
    "cosine": {"eta_min": 0.1},
    "cosine_restarts": {"T_0": 1 / 3},
    "polynomial": {"power": 2.0},
    "cyclic": {"base_factor": 0.1, "step_size_up": 1 / 6},
    "wsd": {"decay": 0.5},
    "inverse_sqrt": {"timescale": 0.5},
}
T = 24


def regression():
    """A line without noise: the loss can become 0."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 4, generator=generator)
    targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5], [1.5]])
    data = (inputs, targets)
    return make_task(
        model=lambda: nn.Linear(4, 1),
        train=data,
        validation=data,
        loss=nn.functional.mse_loss,
        metrics={},
    )


@pytest.mark.parametrize(("optimizer", "schedule"), pairs.params(LEGAL))
def test_a_legal_pair_trains_to_a_twentieth_of_its_first_loss(optimizer, schedule):
    recipe = make_recipe(
        optimizer={"name": optimizer, "lr": LRS.get(optimizer, 0.1)},
        schedule={"name": schedule},
        epochs=40,
        ema=None,
    )
    training = make_training(recipe, regression(), validate_fraction=0.25)
    rows = run(training)
    assert training.diverged is None
    assert rows[-1].val_loss < 0.05 * training.start_loss


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "plateau"])
def test_every_optimizer_gets_the_learning_rates_of_torchs_scheduler(schedule):
    plain = SGD([nn.Parameter(torch.zeros(1))], lr=reference.LR)
    expected = steps_of(plain, reference.PLAIN_SCHEDULERS[schedule](plain, T))
    for optimizer in OPTIMIZERS:
        if (optimizer, schedule) in LEGAL:
            recipe = make_recipe(
                optimizer={"name": optimizer, "lr": reference.LR},
                schedule={"name": schedule, **FIELDS.get(schedule, {})},
                steps=T,
                epochs=None,
            )
            assert steps_of(*recipe.build(nn.Linear(2, 2), steps_per_epoch=6)) == expected


def steps_of(optimizer, scheduler):
    lrs = []
    for _ in range(T):
        lrs.append([group["lr"] for group in optimizer.param_groups])
        assert len(set(lrs[-1])) == 1
        optimizer.step()
        scheduler.step()
    return [lr[0] for lr in lrs]


@pytest.mark.parametrize(("optimizer", "schedule"), PAIRS)
def test_a_pair_is_built_or_refused_in_one_line(optimizer, schedule):
    for warmup in (0.0, 0.25):
        content = {
            "optimizer": {"name": optimizer, "lr": 0.1},
            "schedule": {"name": schedule},
            "warmup": warmup,
        }
        legal = (optimizer, schedule) in LEGAL and (not warmup or takes_warmup(optimizer, schedule))
        if legal:
            make_recipe(**content).build(nn.Linear(2, 2), steps_per_epoch=6)
            continue
        with pytest.raises(SpecError, match=f"{optimizer}|{schedule}") as error:
            make_recipe(**content)
        assert "\n" not in str(error.value)
        assert "use " in str(error.value)


def test_the_refused_pairs_are_few_and_known():
    refused = set(PAIRS) - set(LEGAL)
    assert refused == {("rprop", schedule) for schedule in SCHEDULES if schedule != "constant"}


def test_the_table_of_pairs_in_the_docs_is_this_one():
    lines = re.search(r"\| optimizer \|(.*?)\n\n", DOCS, re.DOTALL)[0].strip().splitlines()
    header = [cell.strip(" `") for cell in lines[0].strip("|").split("|")][1:]
    assert header == list(SCHEDULES)
    rows = {}
    for line in lines[2:]:
        name, *cells = (cell.strip(" `") for cell in line.strip("|").split("|"))
        rows[name] = cells
    assert rows == {o: [cell_of(o, s) for s in SCHEDULES] for o in OPTIMIZERS}


def cell_of(optimizer, schedule):
    """`-` refused, `w` with or without warm-up, `+` without; `m` may cycle momentum."""
    if illegal_pair(optimizer, schedule):
        return "-"
    cell = "w" if takes_warmup(optimizer, schedule) else "+"
    flag = SCHEDULES[schedule].momentum_flag
    cycles = flag and illegal(optimizer, {"name": schedule, flag: True}, 0.0) is None
    return cell + ("m" if cycles else "")
