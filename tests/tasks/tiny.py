"""A regression of 96 points by a small MLP: a trial takes some milliseconds. Dropout makes resuming
hard. The file that TINY_CONTROL names holds a word: `slow` makes every batch take 20 ms, `hold`
stops where it is, until the file says otherwise; a worker that is held says so beside it."""

import os
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import mse_loss

import lrsearch

SLOW_SECONDS = 0.02


def make_model():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1))


def make_tensors(samples, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, 4, generator=generator)
    noise = 0.1 * torch.randn(samples, 1, generator=generator)
    return inputs, inputs[:, :1] * inputs[:, 1:2] + noise


def loss(output, target):
    if "TINY_CONTROL" in os.environ:
        _obey(Path(os.environ["TINY_CONTROL"]))
    return mse_loss(output, target)


def _obey(control):
    held = control.with_name(f"held.{os.getpid()}")
    word = _read(control)
    while word == "hold":
        held.touch()
        time.sleep(0.005)
        word = _read(control)
    if word == "slow":
        time.sleep(SLOW_SECONDS)


def _read(path):
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def mae(output, target):
    return (output - target).abs().mean()


def task():
    return lrsearch.Task(
        model=make_model,
        train=make_tensors(96, seed=0),
        validation=make_tensors(48, seed=1),
        loss=loss,
        metrics={"mae": mae},
        batch_size=16,
    )
