"""Several ranks: rank 0 alone talks to the worker, and all of them hear its answer."""

import os
import subprocess
import sys
import threading

from fake_worker import RECIPE

from lrsearch.own_loop.channel import SOCKET, ChannelClosedError, Listener
from lrsearch.own_loop.messages import Boundary, End, GoOn, Report, Start
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
reports = 0
try:
    for epoch in run.epochs():
        for _ in range(20):
            optimizer.zero_grad()
            loss = model(torch.randn(4, 3)).square().mean()
            loss.backward()
            run.loss(loss)
            optimizer.step()
        reports += 1
        run.report(val_loss=loss + rank)
finally:
    total = sum(p.sum().item() for p in model.parameters())
    with open(run.folder / f"rank{rank}", "w") as file:
        file.write(f"{reports} {run.step} {run.recipe.seed} {total!r}")
    dist.destroy_process_group()
"""


def launch(folder, answer):
    """What each rank wrote, the exit status, and what the worker was told."""
    (folder / "train.py").write_text(SCRIPT)
    said = []

    def serve(listener):
        channel = listener.accept(60)
        channel.receive(60)
        start = Start(kind="search", recipe=RECIPE, device="cpu", folder=str(folder))
        channel.send(start)
        try:
            while True:
                said.append(channel.receive())
                if isinstance(said[-1], Report | Boundary):
                    channel.send(answer(said[-1]))
        except ChannelClosedError:
            channel.close()

    with Listener() as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
                *("--nproc_per_node", "2", "-m", "lrsearch.own_loop.child", "train.py"),
            ],
            env={
                **os.environ,
                SOCKET: listener.path,
                ENVIRONMENT_DIR: str(folder),
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        thread.join()
    paths = [folder / "rank0", folder / "rank1"]
    assert all(path.exists() for path in paths), ended.stderr
    return [path.read_text() for path in paths], ended.returncode, said


def test_all_ranks_end_at_the_same_report(tmp_path):
    def answer(message):
        pruned = isinstance(message, Report) and message.step == 40
        return End(reason="pruned") if pruned else GoOn()

    (first, second), status, said = launch(tmp_path, answer)
    assert first.startswith("2 40 7 ")
    assert second == first  # the same weights, too
    assert status == 0
    kinds = [type(message).__name__ for message in said]
    assert [kind for kind in kinds if kind != "Beat"] == ["Built", "Report", "Boundary", "Report"]
