"""A fine-tune: a trunk that was trained on other digits is frozen, and the
layers next to it learn slower."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import lrsearch

BATCH_SIZE, DECAY = 32, 0.8


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Linear(64, 32)
        self.layers = nn.ModuleList([nn.Linear(32, 32), nn.Linear(32, 32)])
        self.head = nn.Linear(32, 10)

    def forward(self, pixels):
        hidden = torch.relu(self.trunk(pixels))
        for layer in self.layers:
            hidden = torch.relu(layer(hidden))
        return self.head(hidden)


def make_model():
    """Everything but the head comes from a model that has learnt other images."""
    pixels, classes = load_images(slice(480, 960))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        learnt = Classifier()
        optimizer = torch.optim.Adam(learnt.parameters(), lr=0.01)
        for _ in range(30):
            optimizer.zero_grad()
            cross_entropy(learnt(pixels), classes).backward()
            optimizer.step()
    model = Classifier()
    weights = {k: v for k, v in learnt.state_dict().items() if not k.startswith("head")}
    model.load_state_dict(weights, strict=False)
    model.trunk.requires_grad_(False)
    return model


def load_images(places):
    pixels, classes = load_digits(return_X_y=True)
    return torch.tensor(pixels[places] / 16, dtype=torch.float32), torch.tensor(classes[places])


def task():
    return lrsearch.Task(
        model=make_model,
        train=load_images(slice(0, 320)),
        validation=load_images(slice(320, 480)),
        loss=cross_entropy,
        batch_size=BATCH_SIZE,
        groups=[{"match": r"layers\.(\d+)\.", "layer_decay": DECAY}],
    )


def by_hand(epochs, lr):
    train, validation = load_images(slice(0, 320)), load_images(slice(320, 480))
    torch.manual_seed(0)
    model = make_model()
    optimizer = torch.optim.SGD(
        [
            {"params": model.layers[0].parameters(), "lr": lr * DECAY},
            {"params": [*model.layers[1].parameters(), *model.head.parameters()]},
        ],
        lr=lr,
    )
    losses = []
    for epoch in range(epochs):
        order = torch.randperm(320, generator=torch.Generator().manual_seed(epoch))
        for batch in order.split(BATCH_SIZE):
            optimizer.zero_grad()
            cross_entropy(model(train[0][batch]), train[1][batch]).backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(cross_entropy(model(validation[0]), validation[1]).item())
    return model.state_dict(), losses
