"""A word model in the shape of pytorch/examples' word_language_model: a carried hidden state."""

import torch
from torch import nn

torch.manual_seed(7)
corpus = torch.randint(20, (6, 61))


class RNNModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.encoder = nn.Embedding(20, 8)
        self.rnn = nn.LSTM(8, 8, batch_first=True)
        self.decoder = nn.Linear(8, 20)

    def forward(self, x, hidden):
        out, hidden = self.rnn(self.drop(self.encoder(x)), hidden)
        return self.decoder(self.drop(out)).flatten(0, 1), hidden


model = RNNModel()
criterion = nn.CrossEntropyLoss()
lr = 2.0


def evaluate():
    model.eval()
    with torch.no_grad():
        out, _ = model(corpus[:, :-1], None)
        return criterion(out, corpus[:, 1:].flatten()).item()


def train():
    model.train()
    hidden = None
    for start in range(0, 60, 10):
        data, targets = corpus[:, start : start + 10], corpus[:, start + 1 : start + 11]
        if hidden is not None:
            hidden = tuple(h.detach() for h in hidden)
        model.zero_grad()
        out, hidden = model(data, hidden)
        loss = criterion(out, targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-lr)


for epoch in range(1, 4):
    train()
    print(f"| end of epoch {epoch:3d} | valid loss {evaluate():5.2f}")
