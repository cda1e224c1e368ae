"""Training tasks on text that the system ships: licences, and sources of Python's modules."""

import ast
import inspect
import json
import string
import textwrap
import zlib
from pathlib import Path

import torch
from tabular import Split, halves, mlp
from torch import Tensor, nn
from torch.nn import functional as F

import lrsearch

#: Debian's texts of common licences.
LICENCES = Path("/usr/share/common-licenses")
CONTEXT = 24
#: Hashed words, and how many of a line count.
WORDS, LINE = 1024, 10
#: What a character model can say; all else is one more.
CHARACTERS = string.ascii_lowercase + " .,()_\n'"


def codes(text: str) -> Tensor:
    known = {character: number for number, character in enumerate(CHARACTERS)}
    return torch.tensor([known.get(c, len(CHARACTERS)) for c in text.lower()])


def windows(text: str, count: int) -> tuple[Split, Split]:
    """Windows [N, CONTEXT] and the same one character on; the last fifth of the text validates."""
    whole = codes(text)
    starts = torch.arange(count) * ((len(whole) - CONTEXT - 1) // count)
    cut = whole[starts[:, None] + torch.arange(CONTEXT + 1)]
    inputs, targets = cut[:, :-1].contiguous(), cut[:, 1:].contiguous()
    first = count * 4 // 5
    return (inputs[:first], targets[:first]), (inputs[first:], targets[first:])


class Attention(nn.Module):
    """Causal attention of 2 heads and an MLP, both with a residual and a norm before."""

    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = mlp(width, 2 * width, width, activation=nn.GELU)

    def forward(self, x_BTD: Tensor) -> Tensor:
        B, T, D = x_BTD.shape
        qkv = self.qkv(self.norms[0](x_BTD)).view(B, T, 3, self.heads, D // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # Written out: torch's kernel for CPUs has no rule for many models at once.
        later = torch.ones(T, T, dtype=torch.bool, device=x_BTD.device).triu(1)
        scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(later, -torch.inf)
        mixed = scores.softmax(-1) @ v
        x_BTD = x_BTD + self.out(mixed.transpose(1, 2).reshape(B, T, D))
        return x_BTD + self.mlp(self.norms[1](x_BTD))


class Transformer(nn.Module):
    """Logits [B, characters, T] of the next character, from codes [B, T]."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.token = nn.Embedding(len(CHARACTERS) + 1, width)
        self.place = nn.Parameter(torch.randn(CONTEXT, width) * 0.02)
        self.layers = nn.Sequential(*(Attention(width) for _ in range(layers)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(CHARACTERS) + 1))

    def forward(self, codes_BT: Tensor) -> Tensor:
        logits: Tensor = self.head(self.layers(self.token(codes_BT) + self.place))
        return logits.transpose(1, 2)


class Gru(nn.Module):
    """A gated recurrent unit, written out: torch's own cannot be trained many at once."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.token = nn.Embedding(len(CHARACTERS) + 1, width)
        self.of_input, self.of_state = nn.Linear(width, 3 * width), nn.Linear(width, 3 * width)
        self.head = nn.Linear(width, len(CHARACTERS) + 1)

    def forward(self, codes_BT: Tensor) -> Tensor:
        given = self.of_input(self.token(codes_BT))
        state, states = torch.zeros_like(given[:, 0, : self.width]), []
        for step in given.unbind(1):
            update, reset, new = step.chunk(3, -1)
            update_of, reset_of, new_of = self.of_state(state).chunk(3, -1)
            kept = torch.sigmoid(update + update_of)
            proposed = torch.tanh(new + torch.sigmoid(reset + reset_of) * new_of)
            state = kept * state + (1 - kept) * proposed
            states.append(state)
        logits: Tensor = self.head(torch.stack(states, dim=1))
        return logits.transpose(1, 2)


def licence_transformer() -> lrsearch.Task:
    """Characters of licences: a transformer of width 32, 2 layers, 24 characters; batch 16."""
    names = ("GPL-3", "MPL-2.0", "Apache-2.0", "GFDL-1.3")
    text = "\n".join((LICENCES / name).read_text(encoding="utf-8") for name in names)
    train, validation = windows(text, 1280)
    return lrsearch.Task(
        model=lambda: Transformer(32, 2),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=16,
    )


def source_gru() -> lrsearch.Task:
    """Characters of a module's source: a recurrent model of width 32; batch 32."""
    train, validation = windows(inspect.getsource(ast) + inspect.getsource(textwrap), 1280)
    return lrsearch.Task(
        model=lambda: Gru(32),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=32,
    )


class Words(nn.Module):
    """The mean of a line's word vectors through an MLP."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.vectors, self.mlp = nn.Embedding(WORDS, 24), mlp(24, 48, classes)

    def forward(self, words: Tensor) -> Tensor:
        logits: Tensor = self.mlp(self.vectors(words).mean(1))
        return logits


def source_lines() -> lrsearch.Task:
    """From which of four modules a line is, by its hashed words, mostly rare ones; batch 64."""
    rows, classes = [], []
    for number, module in enumerate((ast, inspect, json.decoder, string)):
        for line in inspect.getsource(module).splitlines():
            words = [zlib.crc32(word.encode()) % WORDS for word in line.split()]
            if words:
                rows.append((words * LINE)[:LINE])
                classes.append(number)
    train, validation = halves(torch.tensor(rows), torch.tensor(classes), len(rows) * 3 // 4)
    return lrsearch.Task(
        model=lambda: Words(4),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=64,
    )
