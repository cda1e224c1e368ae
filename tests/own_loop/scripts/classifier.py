"""An image classifier in the shape of pytorch/examples' mnist: a schedule by epochs, dropout."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LinearLR
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.dropout = nn.Dropout(0.25)
        self.fc = nn.Linear(4 * 9, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        return F.log_softmax(self.fc(self.dropout(x.flatten(1))), dim=1)


def train(model, loader, optimizer, scheduler):
    model.train()
    for data, target in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        optimizer.step()
        scheduler.step()


def test(model, loader):
    model.eval()
    test_loss = 0
    with torch.no_grad():
        for data, target in loader:
            test_loss += F.nll_loss(model(data), target, reduction="sum").item()
    return test_loss / len(loader.dataset)


def main():
    torch.manual_seed(7)
    images = torch.randn(50, 1, 8, 8)
    data = TensorDataset(images, (images.mean((1, 2, 3)) * 20).long().clamp(0, 2))
    loader = DataLoader(data, batch_size=8, shuffle=True)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scheduler = LinearLR(optimizer, 1.0, 0.0, total_iters=3 * len(loader))
    for epoch in range(3):
        train(model, loader, optimizer, scheduler)
        print(f"epoch {epoch} test loss {test(model, loader)}")


if __name__ == "__main__":
    main()
