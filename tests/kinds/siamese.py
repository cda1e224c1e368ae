"""A siamese network: one body sees two images, and their distance is small if they are alike."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import pairwise_distance
from torch.utils.data import Dataset

import lrsearch

BATCH_SIZE = 32


class Pairs(Dataset):
    """Pairs of digits, alike or not, as dictionaries."""

    def __init__(self, first, count):
        pixels, classes = load_digits(return_X_y=True)
        self.pixels, self.classes = torch.tensor(pixels / 16, dtype=torch.float32), classes
        generator = torch.Generator().manual_seed(first)
        self.places = first + torch.randint(0, count, (count, 2), generator=generator)

    def __len__(self):
        return len(self.places)

    def __getitem__(self, i):
        left, right = self.places[i].tolist()
        alike = float(self.classes[left] == self.classes[right])
        return {"left": self.pixels[left], "right": self.pixels[right], "alike": alike}


def make_body():
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))


def contrastive_loss(model, pairs):
    """Of each pair (Hadsell et al. 2006)."""
    distance = pairwise_distance(model(pairs["left"]), model(pairs["right"]))
    alike = pairs["alike"].float()
    return alike * distance**2 + (1 - alike) * torch.relu(1 - distance) ** 2


def score(model, pairs):
    losses = contrastive_loss(model, pairs)
    return {"val_loss": (losses.sum(), len(losses))}


def task():
    return lrsearch.Task(
        model=make_body,
        train=Pairs(0, 320),
        validation=Pairs(320, 160),
        step=lambda model, pairs: contrastive_loss(model, pairs).mean(),
        score=score,
        batch_size=BATCH_SIZE,
    )


def by_hand(epochs, lr):
    train, validation = Pairs(0, 320), Pairs(320, 160)
    stack = torch.utils.data.default_collate
    torch.manual_seed(0)
    model = make_body()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for epoch in range(epochs):
        order = torch.randperm(320, generator=torch.Generator().manual_seed(epoch))
        for batch in order.split(BATCH_SIZE):
            optimizer.zero_grad()
            contrastive_loss(model, stack([train[i] for i in batch.tolist()])).mean().backward()
            optimizer.step()
        with torch.no_grad():
            pairs = stack([validation[i] for i in range(160)])
            losses.append(contrastive_loss(model, pairs).mean().item())
    return model.state_dict(), losses
