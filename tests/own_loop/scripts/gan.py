"""A GAN in the shape of pytorch/examples' dcgan: two networks, two optimizers."""

import random

import torch
from torch import nn

seed = 7
random.seed(seed)
torch.manual_seed(seed)
dataset = torch.randn(40, 2) + 2
dataloader = torch.utils.data.DataLoader(dataset, batch_size=8, shuffle=True)
generator = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
discriminator = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1), nn.Sigmoid())
criterion = nn.BCELoss()
fixed_noise = torch.randn(64, 3)
optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))
optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
for epoch in range(3):
    for real in dataloader:
        discriminator.zero_grad()
        real_loss = criterion(discriminator(real), torch.ones(len(real), 1))
        real_loss.backward()
        fake = generator(torch.randn(len(real), 3))
        fake_loss = criterion(discriminator(fake.detach()), torch.zeros(len(real), 1))
        fake_loss.backward()
        optimizer_d.step()
        generator.zero_grad()
        loss = criterion(discriminator(fake), torch.ones(len(real), 1))
        loss.backward()
        optimizer_g.step()
    with torch.no_grad():
        distance = (generator(fixed_noise).mean(0) - dataset.mean(0)).norm()
    print(f"[{epoch}] Loss_D {real_loss + fake_loss:.4f} Loss_G {loss:.4f} {distance:.4f}")
