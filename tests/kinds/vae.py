"""A variational autoencoder of handwritten digits: the loss needs all that the model returns, and
the model draws random numbers in training and in evaluation."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

import lrsearch

BATCH_SIZE = 32


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 64))

    def forward(self, images):
        mean, log_var = self.encoder(images).chunk(2, dim=1)
        code = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
        return self.decoder(code), mean, log_var


def negative_bound(model, images):
    """The negative evidence lower bound, summed over the images."""
    logits, mean, log_var = model(images)
    error = binary_cross_entropy_with_logits(logits, images, reduction="sum")
    return error - 0.5 * torch.sum(1 + log_var - mean**2 - log_var.exp())


def load_images():
    pixels = torch.tensor(load_digits().data[:480] / 16, dtype=torch.float32)
    return pixels[:320], pixels[320:]


def task():
    train, validation = load_images()
    return lrsearch.Task(
        model=Vae,
        train=(train, train),
        validation=(validation, validation),
        step=lambda model, batch: negative_bound(model, batch[0]) / len(batch[0]),
        score=lambda model, batch: {"val_loss": (negative_bound(model, batch[0]), len(batch[0]))},
        batch_size=BATCH_SIZE,
    )


def by_hand(epochs, lr):
    train, validation = load_images()
    torch.manual_seed(0)
    model = Vae()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for epoch in range(epochs):
        order = torch.randperm(320, generator=torch.Generator().manual_seed(epoch))
        for batch in order.split(BATCH_SIZE):
            optimizer.zero_grad()
            (negative_bound(model, train[batch]) / len(batch)).backward()
            optimizer.step()
        state = torch.get_rng_state()
        torch.manual_seed(0)
        with torch.no_grad():
            losses.append(float(negative_bound(model, validation)) / len(validation))
        torch.set_rng_state(state)
    return model.state_dict(), losses
