"""Real loops, killed at every place where a run can be interrupted, go on to the same bits."""

import pytest
import torch
from interrupted import assert_goes_on_exactly
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def data(n=20):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 4, generator=generator)
    return TensorDataset(x, (x.sum(1) > 0).long())


def net():
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)
    )


@pytest.mark.parametrize("follow", [True, False], ids=["batches", "epochs"])
def test_a_classifier_with_dropout_and_momentum(follow):
    def train(run):
        model = net()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        loader = DataLoader(data(), batch_size=4, shuffle=True)
        for _ in run.epochs():
            model.train()
            for x, y in run.batches(loader) if follow else loader:
                run.see(x)
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                run.see(loss)

    straight = assert_goes_on_exactly(train)
    assert straight.places == (2 + 3 * 6 if follow else 2)
