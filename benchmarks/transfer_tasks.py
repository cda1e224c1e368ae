"""Tasks that no constant of the ladder was set on, small enough to train whole grids of runs.

`noisy` and `friedman` overfit, `wine` is a small table, `resnet` with BatchNorm and `lstm` on the
source of a Python module are limited by training.
`record_transfer.py` trains them.
"""

import argparse
import inspect
from collections.abc import Callable

import torch
from sklearn.datasets import load_digits, load_wine, make_friedman1
from torch import Tensor, nn
from torch.nn import functional as F

import lrsearch

#: Share of the training labels of `noisy` that are drawn anew.
NOISE = 0.3
#: Sorts of characters, and how many a language model sees at once.
CHARACTERS, CONTEXT = 32, 8

Split = tuple[Tensor, Tensor]


def made(
    model: Callable[[], nn.Module],
    inputs: Tensor,
    targets: Tensor,
    *,
    train: int,
    validation: int = 256,
    batch_size: int,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> lrsearch.Task:
    """A task that trains on the first samples of a fixed random order and validates on the next."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    first, rest = order[:train], order[train : train + validation]
    return lrsearch.Task(
        model=model,
        train=(inputs[first], targets[first]),
        validation=(inputs[rest], targets[rest]),
        loss=loss,
        batch_size=batch_size,
    )


def mlp(*widths: int) -> Callable[[], nn.Module]:
    def model() -> nn.Module:
        layers: list[nn.Module] = []
        for i in range(len(widths) - 1):
            layers += [nn.Linear(widths[i], widths[i + 1]), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    return model


def digits() -> Split:
    """Images [N, 64] with pixels in [0, 1], and classes [N]."""
    X, y = load_digits(return_X_y=True)
    return torch.tensor(X / 16, dtype=torch.float32), torch.tensor(y, dtype=torch.int64)


def noisy() -> lrsearch.Task:
    """300 digits with 30 % of the training labels at random; the validation labels are clean."""
    inputs, classes = digits()
    task = made(mlp(64, 64, 10), inputs, classes, train=300, batch_size=32)
    generator = torch.Generator().manual_seed(1)
    images, labels = task.train
    drawn = torch.randint(10, labels.shape, generator=generator)
    at_random = torch.rand(labels.shape, generator=generator) < NOISE
    labels = torch.where(at_random, drawn, labels)
    return lrsearch.Task(
        model=task.model,
        train=(images, labels),
        validation=task.validation,
        loss=task.loss,
        batch_size=task.batch_size,
    )


def wine() -> lrsearch.Task:
    """90 wines of three sorts, 13 standardised columns."""
    X, y = load_wine(return_X_y=True)
    columns = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
    classes = torch.tensor(y, dtype=torch.int64)
    return made(mlp(13, 32, 3), columns, classes, train=90, batch_size=16)


def friedman() -> lrsearch.Task:
    """150 rows of Friedman's first function with noise, target standardised; loss is mse."""
    X, y = make_friedman1(n_samples=550, noise=2.0, random_state=0)
    columns = torch.tensor((X - 0.5) / 0.29, dtype=torch.float32)
    values = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)[:, None]
    return made(
        mlp(10, 48, 1), columns, values, train=150, validation=400, batch_size=16, loss=F.mse_loss
    )


class Block(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


def resnet() -> lrsearch.Task:
    """400 digits of 8 x 8 pixels and a residual network of width 4 with BatchNorm."""

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AvgPool2d(2),
            Block(4),
            Block(4),
            nn.Flatten(),
            nn.Linear(4 * 16, 10),
        )

    inputs, classes = digits()
    return made(model, inputs.reshape(-1, 1, 8, 8), classes, train=400, batch_size=16)


def characters(sequences: int) -> Split:
    """Windows [N, CONTEXT] of a module's source, and the same one character on.

    Letters of both cases are one sort; all that are neither letter, space nor one of four are one.
    """
    sorts = "abcdefghijklmnopqrstuvwxyz \n_.("
    text = inspect.getsource(argparse).lower()
    codes = torch.tensor([sorts.find(character) % CHARACTERS for character in text])
    starts = torch.arange(sequences) * ((len(codes) - CONTEXT - 1) // sequences)
    windows = codes[starts[:, None] + torch.arange(CONTEXT + 1)]
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


class Recurrent(nn.Module):
    """Logits [B, characters, T] of the next character; an LSTM cell written out for vmap."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.token = nn.Embedding(CHARACTERS, width)
        self.inputs = nn.Linear(width, 4 * width)
        self.states = nn.Linear(width, 4 * width, bias=False)
        self.head = nn.Linear(width, CHARACTERS)

    def forward(self, codes_BT: Tensor) -> Tensor:
        gates_BTG = self.inputs(self.token(codes_BT))
        state = cell = torch.zeros_like(gates_BTG[:, 0, : self.states.in_features])
        states = []
        for t in range(codes_BT.shape[1]):
            i, f, g, o = (gates_BTG[:, t] + self.states(state)).chunk(4, dim=-1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            state = o.sigmoid() * cell.tanh()
            states.append(state)
        logits_BTC: Tensor = self.head(torch.stack(states, dim=1))
        return logits_BTC.transpose(1, 2)


def lstm() -> lrsearch.Task:
    """1,600 windows of 8 characters, an LSTM of width 16."""
    inputs, targets = characters(1856)
    return made(Recurrent, inputs, targets, train=1600, batch_size=8)
