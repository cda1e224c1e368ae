"""What own_loop.py trains: one training script in the forms in which it can be searched.

`main` is the script as people write them, `train` the same loop with lrsearch's names, `objective`
the same loop for Optuna. All do the same steps on the same data.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

if TYPE_CHECKING:
    import optuna

    from lrsearch.own_loop.run import Run

BATCH = 64
EPOCHS = 20
#: Name the process whose CPU time is read when a trial begins, and the file for it.
ROOT, MARK = "OWN_LOOP_ROOT", "OWN_LOOP_MARK"
#: Steps of an epoch, and how many trials have that many; those that come later have one.
STEPS, LONG = "OWN_LOOP_STEPS", "OWN_LOOP_LONG"
#: Ticks of the kernel's CPU clock in a second.
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    mark_trial()
    torch.manual_seed(args.seed)
    loader, held_out = data()
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(loader))
    for epoch in range(EPOCHS):
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
        print(f"epoch {epoch} | valid loss {validate(model, *held_out):.4f}", flush=True)


def train(run: "Run") -> None:
    mark_trial()
    torch.manual_seed(run.seed)
    loader, held_out = data()
    model = net()
    optimizer = run.build(model, steps_per_epoch=len(loader))
    for _ in run.epochs():
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            run.loss(loss)
            loss.backward()
            optimizer.step()
        run.report(val_loss=validate(model, *held_out))


def objective(trial: "optuna.Trial") -> float:
    import optuna

    mark_trial()
    torch.manual_seed(0)
    loader, held_out = data()
    model = net()
    lr = trial.suggest_float("lr", 0.05, 0.1, log=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(loader))
    for epoch in range(EPOCHS):
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            scheduler.step()
        value = validate(model, *held_out)
        trial.report(value, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value


def command_objective(trial: "optuna.Trial") -> float:
    """The script as it is, in a process of its own."""
    lr = trial.suggest_float("lr", 0.05, 0.1, log=True)
    words = [sys.executable, __file__, "--lr", str(lr), "--seed", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for epoch, line in enumerate(process.stdout):
            value = float(line.split()[-1])
            trial.report(value, epoch)
            if trial.should_prune():
                process.terminate()
    if process.returncode:
        raise RuntimeError(f"the script ended with {process.returncode}")
    return value


def first_step(arguments: Sequence[str]) -> None:
    """The least that a trial does: what `measure_start` of own_loop.py times."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(1, 784)).sum().backward()
    optimizer.step()


def net() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    )


def data() -> tuple[DataLoader[tuple[Tensor, ...]], tuple[Tensor, Tensor]]:
    """Batches of so many steps an epoch as the environment says, and a validation set."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(5000, 784, generator=generator), torch.arange(5000) % 10
    training = TensorDataset(x[:4000], y[:4000])
    count = BATCH * int(os.environ[STEPS])
    sampler = RandomSampler(training, replacement=True, num_samples=count)
    return DataLoader(training, batch_size=BATCH, sampler=sampler), (x[4000:], y[4000:])


def validate(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return nn.functional.cross_entropy(model(x), y).item()


def mark_trial() -> None:
    """Note the CPU seconds that the tree of processes has used when a trial begins."""
    with Path(os.environ[MARK]).open("a+") as file:
        print(tree_seconds(int(os.environ[ROOT])), file=file)
        file.seek(0)
        if len(file.readlines()) > int(os.environ[LONG]):
            os.environ[STEPS] = "1"


def tree_seconds(pid: int) -> float:
    """CPU seconds of a process and its descendants."""
    return sum(map(cpu_seconds, tree(pid)))


def tree(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from tree(int(child))


def cpu_seconds(pid: int) -> float:
    """Of a process and of those that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def search_with_optuna(objective: Callable[["optuna.Trial"], float], trials: int) -> None:
    """A study as the documentation of Optuna shows it, in a database."""
    import optuna
    import torch._dynamo  # which torch imports for the first optimizer

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=trials)  # asked, and prunes none
    study = optuna.create_study(storage="sqlite:///optuna.db", pruner=pruner)
    study.optimize(objective, n_trials=trials)


if __name__ == "__main__":
    main()
