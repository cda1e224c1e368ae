"""Scripts in real processes, killed with SIGKILL, go on in new ones to the same bits."""

from script_process import outcome, run_script

from lrsearch.own_loop.messages import Boundary
from lrsearch.own_loop.proof import prove

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
    hidden = torch.zeros(1)
    BEFORE
    for epoch in run.epochs():
        model.train()
        for inputs, targets in run.batches(loader):
            optimizer.zero_grad()
            loss = (model(inputs) + hidden - targets).square().mean()
            scaler.scale(loss).backward()
            run.loss(loss)
            scaler.step(optimizer)
            scaler.update()
            hidden = loss.detach().tanh() * random.random()
            INSIDE
            WAIT
        model.eval()
        with torch.no_grad():
            run.report(val_loss=(model(x) - x.sum(1, keepdim=True)).square().mean())
"""


def script(folder, *, keeps=True, waits=False):
    text = SCRIPT
    for word, line, is_there in (
        ("BEFORE", "hidden = run.keep(hidden=hidden)", keeps),
        ("INSIDE", "hidden = run.keep(hidden=hidden)", keeps),
        ("WAIT", "import time; time.sleep(0.2)", waits),
    ):
        text = text.replace(word, line if is_there else "pass")
    (folder / "train.py").write_text(text)


def test_a_script_that_cannot_be_resumed_exactly_says_what_is_missing(tmp_path):
    script(tmp_path, keeps=False)

    def run_once(*, save=None, resume=None):
        return outcome(run_script(tmp_path, save=save, resume=resume))

    proof = prove(run_once, tmp_path)
    assert not proof.exact
    assert {"model", "reports"} <= set(proof.differs)
    assert "write hidden = run.keep(hidden=hidden) above the loop" in proof.line


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
