"""A variational autoencoder in the shape of pytorch/examples' vae: noise in the model."""

import torch
from torch import nn, optim
from torch.nn import functional as F

torch.manual_seed(7)
train_data = torch.rand(40, 12)


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(12, 8)
        self.mean, self.logvar = nn.Linear(8, 2), nn.Linear(8, 2)
        self.decode = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 12))

    def forward(self, x):
        h = F.relu(self.encode(x))
        mean, logvar = self.mean(h), self.logvar(h)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        return torch.sigmoid(self.decode(z)), mean, logvar


model = VAE()
optimizer = optim.Adam(model.parameters(), lr=1e-3)


def loss_function(recon, x, mean, logvar):
    BCE = F.binary_cross_entropy(recon, x, reduction="sum")
    return BCE - 0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())


def train(epoch):
    model.train()
    for data in train_data.split(10):
        optimizer.zero_grad()
        recon, mean, logvar = model(data)
        loss = loss_function(recon, data, mean, logvar)
        loss.backward()
        optimizer.step()


@torch.no_grad()
def test(epoch):
    model.eval()
    recon, mean, logvar = model(train_data)
    test_loss = loss_function(recon, train_data, mean, logvar).item() / len(train_data)
    print(f"====> Test set loss: {test_loss:.4f}")
    return test_loss


for epoch in range(1, 4):
    train(epoch)
    test(epoch)
