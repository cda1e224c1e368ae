"""Several ranks: rank 0 alone talks to the worker, and all of them hear its answer."""

import os
import subprocess
import sys
import threading

import pytest
from fake_worker import RECIPE
from processes import PATIENCE_SECONDS

from lrsearch.child_process.lines import ClosedError
from lrsearch.own_loop.channel import SOCKET, Listener
from lrsearch.own_loop.messages import (
    Beat,
    Boundary,
    End,
    GoOn,
    Report,
    Save,
    Saved,
    Start,
)
from lrsearch.task.code import ENVIRONMENT_DIR

SCRIPT = """
import os
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from lrsearch import run

rank = int(os.environ["RANK"])
dist.init_process_group("gloo")
torch.manual_seed(run.seed)
model = DistributedDataParallel(nn.Linear(3, 1))
optimizer = run.build(model.parameters(), steps_per_epoch=20)
torch.manual_seed(rank)
reports = []
try:
    for epoch in run.epochs():
        for _ in range(20):
            optimizer.zero_grad()
            loss = model(torch.randn(4, 3)).square().mean()
            loss.backward()
            run.loss(loss)
            optimizer.step()
        reports.append(epoch)
        run.report(val_loss=loss + rank)
finally:
    total = sum(p.sum().item() for p in model.parameters())
    with open(run.folder / f"rank{rank}", "w") as file:
        file.write(f"{len(reports)} {run.step} {run.recipe.seed} {total!r}")
    dist.destroy_process_group()
"""


def launch(folder, answer, **changes):
    """What each rank wrote, and what the worker was told.

    The exit status is no part of it: on a busy machine gloo's threads now and then abort a rank
    that has ended, and a worker that was told the end does not look at it.
    """
    (folder / "train.py").write_text(SCRIPT)
    said = []
    start = Start(kind="search", recipe=RECIPE, device="cpu", folder=str(folder), **changes)

    def serve(listener):
        channel = listener.accept(PATIENCE_SECONDS)
        channel.receive(PATIENCE_SECONDS)
        channel.send(start)
        try:
            while True:
                said.append(channel.receive())
                if isinstance(said[-1], Report | Boundary | Saved):
                    channel.send(answer(said[-1]))
        except ClosedError:
            channel.close()

    paths = [folder / "rank0", folder / "rank1"]
    for path in paths:
        path.unlink(missing_ok=True)
    with Listener() as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        environment = {SOCKET: listener.path, ENVIRONMENT_DIR: str(folder), "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
                *("--nproc_per_node", "2", "-m", "lrsearch.own_loop.child", "train.py"),
            ],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        thread.join()
    assert all(path.exists() for path in paths), ended.stderr
    return [path.read_text() for path in paths], said


@pytest.mark.slow
def test_all_ranks_end_at_the_same_report_and_go_on_from_their_own_states(tmp_path):
    path = tmp_path / "state"

    def answer(message):
        if isinstance(message, Boundary) and not path.exists():
            return Save(path=str(path))
        pruned = isinstance(message, Report) and message.step == 40
        return End(reason="pruned") if pruned else GoOn()

    (first, second), said = launch(tmp_path, answer)
    assert first.startswith("2 40 7 ")
    assert second == first  # the same weights, too
    kinds = [type(message).__name__ for message in said if not isinstance(message, Beat)]
    assert kinds == ["Built", "Report", "Boundary", "Saved", "Report"]
    last = {**vars(said[-1]), "seconds": None}

    resumed, said = launch(tmp_path, answer, resume=str(path))
    assert resumed == [first, first]  # the list of reports is kept, too
    assert {**vars(said[-1]), "seconds": None} == last
