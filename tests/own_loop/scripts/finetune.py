"""Fine-tuning: a trunk that learns slower than its head, and a part that is frozen."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    torch.manual_seed(7)
    x = torch.randn(48, 5)
    loader = DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=8, shuffle=True)
    trunk = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6))
    for parameter in trunk[0].parameters():
        parameter.requires_grad = False
    head = nn.Linear(6, 2)
    groups = [{"params": trunk[2].parameters(), "lr": 0.01}, {"params": head.parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.1, weight_decay=1e-3)
    for epoch in range(3):
        for inputs, targets in loader:
            loss = nn.functional.cross_entropy(head(trunk(inputs)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = (head(trunk(x)).argmax(1) == (x.sum(1) > 0)).float().mean().item()
        print(f"epoch {epoch}: accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
