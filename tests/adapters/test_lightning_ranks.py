"""Lightning's ddp strategy on two processes: all of them stop at the report that is pruned."""

import pytest
from launched import CHILD, TORCHRUN, launch, pruned_at

from lrsearch.own_loop.messages import Built, Report

SCRIPT = """
import logging, os, warnings
warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
import lightning.pytorch as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from lrsearch import run
from lrsearch.lightning import Callback

class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(3, 1)
    def training_step(self, batch, batch_idx):
        return self.net(batch[0]).square().mean()
    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.net(batch[0]).square().mean() + self.global_rank, sync_dist=True)
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())

L.seed_everything(run.seed)
data = DataLoader(TensorDataset(torch.randn(32, 3)), batch_size=4, shuffle=True)
trainer = L.Trainer(
    accelerator="cpu", devices=2, strategy="ddp", max_epochs=run.recipe.epochs, logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    callbacks=[Callback(run)],
)
module = Module()
try:
    trainer.fit(module, data, data)
finally:
    total = sum(p.sum().item() for p in module.parameters())
    line = f"rank {trainer.global_rank}: {run.step} {trainer.global_step} {total!r}\\n"
    os.write(1, line.encode())  # at once: print() may write its end after another rank's line
print("not reached")
"""


@pytest.mark.parametrize(
    "arguments",
    # How torchrun starts a script is tried in tests/own_loop/test_ranks.py too.
    [pytest.param((*TORCHRUN, *CHILD), marks=pytest.mark.slow), CHILD],
    ids=["torchrun", "lightning"],
)
def test_all_ranks_stop_at_the_same_report(arguments, tmp_path):
    ended = launch(tmp_path, SCRIPT, arguments=arguments, answer=pruned_at(8))
    lines = ended.lines("rank")
    # Ranks that Lightning has started are killed by it when one has ended: it may be alone. The
    # exit status says nothing: on a busy machine gloo's threads may abort a rank that has ended.
    alone_is_possible = arguments == CHILD
    assert len(lines) == 2 or (alone_is_possible and len(lines) == 1), ended.err
    assert {line.partition(": ")[2] for line in lines} == {lines[0].partition(": ")[2]}
    assert lines[0].partition(": ")[2].startswith("8 8 ")
    assert ended.of(Built) == [Built(steps_per_epoch=4, total_steps=12)]
    assert [report.step for report in ended.of(Report)] == [4, 8]
    assert "not reached" not in ended.out
