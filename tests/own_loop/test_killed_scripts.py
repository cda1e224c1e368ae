"""Scripts in real processes, killed with SIGKILL, go on in new ones to the same bits."""

import pytest
from script_process import outcome, run_script

from lrsearch.own_loop.messages import Boundary

SCRIPT = """
import random
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

def train(run):
    torch.manual_seed(run.seed)
    x = torch.randn(40, 3)
    loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 4, shuffle=True)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
    optimizer = run.build(model, steps_per_epoch=len(loader))
    scaler = torch.amp.GradScaler("cpu")
    hidden = run.keep(hidden=torch.zeros(1))
    for epoch in run.epochs():
        model.train()
        for inputs, targets in run.batches(loader):
            optimizer.zero_grad()
            loss = (model(inputs) + hidden - targets).square().mean()
            scaler.scale(loss).backward()
            run.loss(loss)
            scaler.step(optimizer)
            scaler.update()
            hidden = run.keep(hidden=loss.detach().tanh() * random.random())
            WAIT
        model.eval()
        with torch.no_grad():
            run.report(val_loss=(model(x) - x.sum(1, keepdim=True)).square().mean())
"""


def script(folder, *, waits=False):
    text = SCRIPT.replace("WAIT", "import time; time.sleep(0.2)" if waits else "pass")
    (folder / "train.py").write_text(text)


@pytest.mark.slow
def test_a_script_that_is_killed_inside_an_epoch_ends_as_an_undisturbed_one(tmp_path):
    script(tmp_path)
    straight = outcome(run_script(tmp_path))
    script(tmp_path, waits=True)  # a worker that wants a state has the time to say so
    state = tmp_path / "state"
    said = run_script(tmp_path, save=state, soon_after=2)
    place = next(message for message in said if isinstance(message, Boundary))
    assert 0 < place.epoch < 1
    script(tmp_path)
    resumed = outcome(run_script(tmp_path, resume=state))
    assert len(straight.reports) == 2
    assert resumed.reports == straight.reports
    assert {"model", "optimizer", "scaler", "hidden"} <= set(straight.digests)
    assert resumed.digests == straight.digests
