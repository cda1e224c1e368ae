"""A language model of characters whose hidden state goes on from batch to batch, as in torch's
word_language_model example; the text is the source of argparse."""

import argparse
import inspect

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import lrsearch

#: Streams of text that are read side by side, and characters of each in a batch.
STREAMS, LENGTH = 8, 16


def load_text():
    """[characters, STREAMS], training and validation, and how many characters there are."""
    text = inspect.getsource(argparse)
    letters = sorted(set(text))
    numbers = torch.tensor([letters.index(letter) for letter in text[:6400]])
    columns = numbers.view(STREAMS, -1).T
    return columns[:545], columns[545:], len(letters)


class Batches:
    """Batches [LENGTH, STREAMS] of characters and of the characters after them, in order."""

    def __init__(self, columns):
        self.columns = columns

    def __len__(self):
        return (len(self.columns) - 1) // LENGTH

    def __getitem__(self, i):
        if i >= len(self):
            raise IndexError
        part = self.columns[i * LENGTH : (i + 1) * LENGTH + 1]
        return part[:-1], part[1:]


def loader(columns):
    return lambda: torch.utils.data.DataLoader(Batches(columns), batch_size=None)


class CharacterModel(nn.Module):
    def __init__(self, letters):
        super().__init__()
        self.embedding, self.cell = nn.Embedding(letters, 16), nn.LSTM(16, 32)
        self.out = nn.Linear(32, letters)

    def forward(self, letters, state):
        hidden, state = self.cell(self.embedding(letters), state)
        return self.out(hidden), state


def start(model):
    return (torch.zeros(1, STREAMS, 32), torch.zeros(1, STREAMS, 32))


def step(model, batch, state):
    letters, targets = batch
    output, state = model(letters, state)
    return cross_entropy(output.flatten(0, 1), targets.flatten()), state


def score(model, batch, state):
    loss, state = step(model, batch, state)
    return {"val_loss": (loss * batch[1].numel(), batch[1].numel())}, state


def task():
    train, validation, letters = load_text()
    return lrsearch.Task(
        model=lambda: CharacterModel(letters),
        train=loader(train),
        validation=loader(validation),
        step=step,
        score=score,
        carry=start,
    )


def by_hand(epochs, lr):
    train, validation, letters = load_text()
    torch.manual_seed(0)
    model = CharacterModel(letters)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        state = start(model)
        for letters, targets in Batches(train):
            optimizer.zero_grad()
            output, state = model(letters, state)
            cross_entropy(output.flatten(0, 1), targets.flatten()).backward()
            optimizer.step()
            state = tuple(part.detach() for part in state)
        state, total = start(model), 0.0
        with torch.no_grad():
            for letters, targets in Batches(validation):
                output, state = model(letters, state)
                total += cross_entropy(output.flatten(0, 1), targets.flatten()).item()
        losses.append(total / len(Batches(validation)))
    return model.state_dict(), losses
