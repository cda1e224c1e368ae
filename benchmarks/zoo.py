"""Small tasks that show what training many trials at once does to all sorts of models.

Each public function returns a `lrsearch.Task`: `throughput.py --task benchmarks/zoo.py:tiny_gpt`.
The data is small, so that an epoch takes well under a second of one CPU core.
"""

import argparse
import ast
import inspect
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm as weight_normed

import lrsearch
from lrsearch import TaskError
from lrsearch.task.find import load_task

STUDIES = Path(__file__).resolve().parents[1] / "studies"
#: Random images of this many classes stand in for Fashion-MNIST where its files are not.
CLASSES = 10
#: Characters of ASCII.
CHARACTERS = 128
#: Characters a language model sees at once.
CONTEXT = 64
#: Hashed words, and how many of a line count.
WORDS, LINE = 2048, 12

Split = tuple[Tensor, Tensor]


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(dim=1) == target).float().mean()


def classification(
    model: Callable[[], nn.Module], data: tuple[Split, Split], batch_size: int = 32
) -> lrsearch.Task:
    train, validation = data
    return lrsearch.Task(
        model=model,
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        metrics={"accuracy": accuracy},
        batch_size=batch_size,
    )


# Data.


def fashion(train: int, validation: int) -> tuple[Split, Split]:
    """Images [N, 1, 28, 28] and classes [N]; random ones where Fashion-MNIST is not here."""
    try:
        images = load_task("fashion_mnist.py:task", STUDIES).make()
    except TaskError:
        return noise(train, seed=1), noise(validation, seed=2)
    (X, y), (X_val, y_val) = images.train, images.validation
    return (X[:train], y[:train]), (X_val[:validation], y_val[:validation])


def noise(samples: int, *, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(samples, 1, 28, 28, generator=generator)
    return images, torch.randint(CLASSES, (samples,), generator=generator)


def digits(*shape: int) -> tuple[Split, Split]:
    """The 8 x 8 digits of scikit-learn, each of this shape, pixels in [0, 1]."""
    X, y = load_digits(return_X_y=True)
    images = torch.tensor(X / 16, dtype=torch.float32).reshape(-1, *shape)
    classes = torch.tensor(y, dtype=torch.int64)
    return (images[:1437], classes[:1437]), (images[1437:], classes[1437:])


def characters(sequences: int) -> tuple[Split, Split]:
    """Windows [N, CONTEXT] of a module's source, and the same one character on."""
    codes = torch.tensor(list(inspect.getsource(argparse).encode("ascii", "replace")))
    starts = torch.arange(sequences) * ((len(codes) - CONTEXT - 1) // sequences)
    windows = codes[starts[:, None] + torch.arange(CONTEXT + 1)]
    inputs, targets = windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
    held_out = torch.arange(sequences) % 5 == 4
    return (inputs[~held_out], targets[~held_out]), (inputs[held_out], targets[held_out])


def lines_of_modules() -> tuple[Split, Split]:
    """Hashed words [N, LINE] of lines of source, and which of three modules they are from."""
    rows, classes = [], []
    for number, module in enumerate((argparse, ast, json)):
        for line in inspect.getsource(module).splitlines():
            words = [zlib.crc32(word.encode()) % WORDS for word in line.split()][:LINE]
            if words:
                rows.append((words * LINE)[:LINE])
                classes.append(number)
    inputs, targets = torch.tensor(rows), torch.tensor(classes)
    held_out = torch.arange(len(rows)) % 5 == 4
    return (inputs[~held_out], targets[~held_out]), (inputs[held_out], targets[held_out])


# Models that can be trained many at once.


def fm_mlp() -> lrsearch.Task:
    """MLP 784-256-128-10, 235,000 parameters."""

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, 256),
            nn.ReLU(),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Linear(128, CLASSES),
        )

    return classification(model, fashion(4000, 1000), batch_size=64)


def autoencoder() -> lrsearch.Task:
    """An autoencoder 64-96-8-96-64 of 1,300 digits, 14,000 parameters: a regression."""

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Linear(64, 96),
            nn.ReLU(),
            nn.Linear(96, 8),
            nn.ReLU(),
            nn.Linear(8, 96),
            nn.ReLU(),
            nn.Linear(96, 64),
        )

    train, validation = digits(64)
    (inputs, _), (held_out, _) = train, validation
    return lrsearch.Task(
        model=model,
        train=(inputs[:1300], inputs[:1300]),
        validation=(held_out, held_out),
        loss=F.mse_loss,
        batch_size=32,
    )


def cnn() -> lrsearch.Task:
    """Two convolutions and two linear layers, 106,000 parameters."""

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 64),
            nn.ReLU(),
            nn.Linear(64, CLASSES),
        )

    return classification(model, fashion(1024, 256))


def cnn_6000() -> lrsearch.Task:
    """The same model on 6,000 images of Fashion-MNIST, validated on 2,000: 93 steps an epoch."""
    train, validation = fashion(6000, 2000)
    return replace(cnn(), train=train, validation=validation, batch_size=64)


class Block(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm beside a shortcut."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)
        self.norm_first = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm_second = nn.BatchNorm2d(width)
        self.shortcut = nn.Conv2d(width_in, width, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm_first(self.first(x)))
        return F.relu(self.norm_second(self.second(y)) + self.shortcut(x))


def residual_network() -> nn.Module:
    """ResNet-8 of widths 8, 16, 32 for images of one channel."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        Block(8, 8, 1),
        Block(8, 16, 2),
        Block(16, 32, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, CLASSES),
    )


def resnet8() -> lrsearch.Task:
    """ResNet-8 with BatchNorm on 28 x 28 images."""
    return classification(residual_network, fashion(512, 128))


def resnet8_digits() -> lrsearch.Task:
    """ResNet-8 with BatchNorm on 8 x 8 images."""
    return classification(residual_network, digits(1, 8, 8))


class Attention(nn.Module):
    """Causal attention of 4 heads and an MLP, both with a residual and a norm before."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm_first, self.norm_second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x_BTD: Tensor) -> Tensor:
        B, T, D = x_BTD.shape
        qkv = self.qkv(self.norm_first(x_BTD)).view(B, T, 3, self.heads, D // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.out(mixed.transpose(1, 2).reshape(B, T, D))
        return x_BTD + self.mlp(self.norm_second(x_BTD))


class LanguageModel(nn.Module):
    """Logits [B, characters, T] of the next character, from codes [B, T]."""

    def __init__(self, width: int = 64, layers: int = 2, *, tied: bool = False) -> None:
        super().__init__()
        self.token = nn.Embedding(CHARACTERS, width)
        self.position = nn.Embedding(CONTEXT, width)
        self.layers = nn.Sequential(*(Attention(width) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CHARACTERS, bias=False)
        if tied:
            self.head.weight = self.token.weight
            nn.init.normal_(self.token.weight, std=0.02)

    def forward(self, codes_BT: Tensor) -> Tensor:
        places = torch.arange(codes_BT.shape[1], device=codes_BT.device)
        x_BTD = self.token(codes_BT) + self.position(places)
        logits_BTC: Tensor = self.head(self.norm(self.layers(x_BTD)))
        return logits_BTC.transpose(1, 2)


def tiny_gpt() -> lrsearch.Task:
    """A transformer of width 64, 2 layers, 64 characters, with F.scaled_dot_product_attention."""
    return classification(LanguageModel, characters(320), batch_size=16)


def dropout_mlp() -> lrsearch.Task:
    """The digits MLP with dropout: it draws random numbers in training."""

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Linear(64, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, CLASSES),
        )

    return classification(model, digits(64))


def tied_weights() -> lrsearch.Task:
    """A language model whose head is its embedding: one parameter under two names."""
    return classification(
        lambda: LanguageModel(width=32, layers=1, tied=True), characters(320), batch_size=16
    )


def weight_norm() -> lrsearch.Task:
    """Weights computed from a direction and a length, which vmap does one trial at a time."""

    def model() -> nn.Module:
        return nn.Sequential(
            weight_normed(nn.Linear(64, 128)), nn.ReLU(), weight_normed(nn.Linear(128, CLASSES))
        )

    return classification(model, digits(64))


# Models that vmap refuses, does slowly, or gets wrong: lrsearch is to train them one by one.


class Recurrent(nn.Module):
    """An LSTM over the rows of an image [N, 8, 8], classified by its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 64, batch_first=True)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, rows: Tensor) -> Tensor:
        states, _ = self.lstm(rows)
        logits: Tensor = self.head(states[:, -1])
        return logits


def lstm() -> lrsearch.Task:
    """aten::lstm has no batching rule."""
    return classification(Recurrent, digits(8, 8))


def embedding_bag() -> lrsearch.Task:
    """EmbeddingBag: vmap runs it one sample at a time."""

    def model() -> nn.Module:
        return nn.Sequential(
            nn.EmbeddingBag(WORDS, 32, mode="mean"), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 3)
        )

    return classification(model, lines_of_modules())


class Centred(nn.Module):
    """Subtracts a running mean, which each training step puts into a new tensor."""

    mean: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return x - self.mean


def reassigned_buffer() -> lrsearch.Task:
    """vmap loses what is assigned to a buffer, without a word."""

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), Centred(128), nn.Linear(128, CLASSES))

    return classification(model, digits(64))


class Idle(nn.Module):
    """A layer and a parameter that the output does not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(64, CLASSES)
        self.unused = nn.Parameter(torch.ones(100))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.used(x)
        return logits


def unused_parameter() -> lrsearch.Task:
    """A parameter without gradient, which torch's optimizers leave alone, weight decay included."""
    return classification(Idle, digits(64))
