"""Tasks of the duel's own making: none of them is one that the portfolio was derived on."""

import math
import sys
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lrsearch

sys.path.append(str(Path(__file__).resolve().parents[2] / "studies"))

from digits import load_data, make_model

Split = tuple[Tensor, Tensor]
#: Seed of every draw here.
SEED = 11


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers of these widths, input and output included, with ReLU between."""
    layers: list[nn.Module] = []
    for first, second in pairwise(widths):
        layers += [nn.Linear(first, second), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def split(inputs: Tensor, targets: Tensor, train: int) -> tuple[Split, Split]:
    """The first `train` samples and the others; samples that are drawn are in no order."""
    return (inputs[:train], targets[:train]), (inputs[train:], targets[train:])


def digits_autoencoder() -> lrsearch.Task:
    """Digits through 8 numbers and back, MSE; batch 64, 22 steps an epoch."""
    (train, _), (validation, _) = load_data()
    return lrsearch.Task(
        model=lambda: mlp(64, 32, 8, 32, 64),
        train=(train, train),
        validation=(validation, validation),
        loss=F.mse_loss,
        batch_size=64,
    )


def digits_x100() -> lrsearch.Task:
    """The digits of the quickstart with pixels of 0 to 100 in place of 0 to 1; batch 32."""
    (X_train, y_train), (X_val, y_val) = load_data()
    return lrsearch.Task(
        model=make_model,
        train=(100 * X_train, y_train),
        validation=(100 * X_val, y_val),
        loss=F.cross_entropy,
        batch_size=32,
    )


def digits_thin() -> lrsearch.Task:
    """Digits through ten layers of 16, without normalisation or shortcuts; batch 32."""
    train, validation = load_data()
    return lrsearch.Task(
        model=lambda: mlp(64, *[16] * 10, 10),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=32,
    )


def robot_arm() -> lrsearch.Task:
    """Distance of the hand of an arm of six joints from a point, of its angles; batch 64."""
    draw = torch.Generator().manual_seed(SEED)
    angles = (torch.rand(2560, 6, generator=draw) - 0.5) * math.pi
    lengths = torch.tensor([1.0, 0.8, 0.7, 0.5, 0.4, 0.3])
    heading = angles.cumsum(1)
    x, y = (lengths * heading.cos()).sum(1), (lengths * heading.sin()).sum(1)
    far = ((x - 1) ** 2 + (y - 1) ** 2).sqrt()
    far = (far - far.mean()) / far.std() + 0.1 * torch.randn(2560, generator=draw)
    train, validation = split(angles, far[:, None], 2048)
    return lrsearch.Task(
        model=lambda: mlp(6, 64, 64, 1),
        train=train,
        validation=validation,
        loss=F.mse_loss,
        batch_size=64,
    )


def delayed_series(count: int, delay: int = 17) -> Tensor:
    """Values of the Mackey-Glass equation one unit apart, from four Euler steps each."""
    per_unit = 4
    values = [1.2] * (delay * per_unit)
    for _ in range((count + 200) * per_unit):
        late = values[-delay * per_unit]
        values.append(values[-1] + (0.2 * late / (1 + late**10) - 0.1 * values[-1]) / per_unit)
    return torch.tensor(values[-count * per_unit :: per_unit])


class Lstm(nn.Module):
    """The last output of a long short-term memory [B, 1] from a series [B, T], written out.

    torch's own cannot be trained many at once.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.of_input, self.of_state = nn.Linear(1, 4 * width), nn.Linear(width, 4 * width)
        self.head = nn.Linear(width, 1)

    def forward(self, series_BT: Tensor) -> Tensor:
        given = self.of_input(series_BT[..., None])
        state = torch.zeros_like(given[:, 0, : self.width])
        cell = state
        for step in given.unbind(1):
            forget, write, show, new = (step + self.of_state(state)).chunk(4, -1)
            cell = torch.sigmoid(forget + 1) * cell + torch.sigmoid(write) * torch.tanh(new)
            state = torch.sigmoid(show) * torch.tanh(cell)
        out: Tensor = self.head(state)
        return out


def series() -> lrsearch.Task:
    """A noisy chaotic series, six steps ahead of twelve: an LSTM of width 24; batch 32."""
    context, ahead, windows = 12, 6, 1280
    draw = torch.Generator().manual_seed(SEED)
    values = delayed_series(windows + context + ahead)
    values = (values - values.mean()) / values.std()
    seen = values + 0.05 * torch.randn(values.shape, generator=draw)
    inputs = torch.stack([seen[i : i + context] for i in range(windows)])
    targets = values[context + ahead - 1 :][:windows, None]
    train, validation = split(inputs, targets, 1024)
    return lrsearch.Task(
        model=lambda: Lstm(24),
        train=train,
        validation=validation,
        loss=F.mse_loss,
        batch_size=32,
    )


def stripes() -> lrsearch.Task:
    """Noisy stripes of 12 x 12 pixels in eight directions: a CNN with BatchNorm; batch 32."""
    count, size, directions = 1280, 12, 8
    draw = torch.Generator().manual_seed(SEED)
    kind = torch.randint(directions, (count,), generator=draw)
    angle = (kind * math.pi / directions)[:, None, None]
    phase = 2 * math.pi * torch.rand(count, 1, 1, generator=draw)
    width = 2.5 + 2 * torch.rand(count, 1, 1, generator=draw)
    place = torch.arange(size).float()
    along = place[:, None] * angle.sin() + place[None, :] * angle.cos()
    images = torch.sin(2 * math.pi * along / width + phase)
    images = images + 1.2 * torch.randn(images.shape, generator=draw)
    train, validation = split(images[:, None], kind, 1024)
    return lrsearch.Task(
        model=lambda: nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * 9, directions),
        ),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=32,
    )
