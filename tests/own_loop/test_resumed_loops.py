"""Real loops, killed at every place where a run can be interrupted, go on to the same bits."""

import copy

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


def test_a_loss_scaler_and_accumulation_over_the_place():
    """The scaler overflows now and then; gradients are pending where the run is killed."""

    def train(run):
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=2)
        loader = DataLoader(data(), batch_size=4, shuffle=True)
        for _ in run.epochs():
            for count, (x, y) in run.batches(loader, numbered=True):
                run.see(x)
                loss = nn.functional.cross_entropy(model(x), y)
                scaler.scale(loss / 3).backward()
                if count % 3 == 2:  # two batches are left over for the next epoch
                    scaler.step(optimizer)
                    scaler.update()
                    optimizer.zero_grad()
                run.see([loss, scaler.get_scale()])

    assert_goes_on_exactly(train)


def test_two_optimizers_of_a_gan_with_a_scheduler_each():
    def train(run):
        G, D = nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.Linear(3, 1))
        optimizers = {name: torch.optim.Adam(net.parameters(), lr=0.01)
                      for name, net in (("G", G), ("D", D))}  # fmt: skip
        schedulers = [torch.optim.lr_scheduler.OneCycleLR(each, 0.1, total_steps=15)
                      for each in optimizers.values()]  # fmt: skip
        criterion, fixed = nn.BCEWithLogitsLoss(), torch.randn(2, 3)
        for _ in run.epochs():
            for x, _ in run.batches(DataLoader(data(), batch_size=4, shuffle=True)):
                optimizers["D"].zero_grad()
                fake = G(torch.randn(len(x), 3))
                ones = torch.ones(len(x), 1)
                lossD = criterion(D(x), ones) + criterion(D(fake.detach()), 1 - ones)
                lossD.backward()
                optimizers["D"].step()
                optimizers["G"].zero_grad()
                lossG = criterion(D(fake), ones)
                lossG.backward()
                optimizers["G"].step()
                for scheduler in schedulers:
                    scheduler.step()
                run.see([x, lossD, lossG, G(fixed)])

    assert_goes_on_exactly(train)


@pytest.mark.parametrize("over_epochs", [True, False])
def test_a_word_model_that_carries_its_hidden_state(over_epochs):
    def train(run):
        rnn, head = nn.LSTM(4, 5), nn.Linear(5, 4)
        optimizer = torch.optim.SGD([*rnn.parameters(), *head.parameters()], lr=0.5)
        text = torch.randn(24, 2, 4, generator=torch.Generator().manual_seed(1))
        zeros = (torch.zeros(1, 2, 5), torch.zeros(1, 2, 5))
        hidden = run.keep(hidden=zeros)
        for _ in run.epochs():
            if not over_epochs:
                hidden = run.keep(hidden=zeros)
            for i in run.batches(range(0, 20, 4)):
                optimizer.zero_grad()
                out, hidden = rnn(text[i : i + 4], tuple(h.detach() for h in hidden))
                loss = (head(out) - text[i + 1 : i + 5]).square().mean()
                loss.backward()
                optimizer.step()
                hidden = run.keep(hidden=hidden)
                run.see([loss, hidden])

    assert_goes_on_exactly(train)


@pytest.mark.parametrize("kind", ["AveragedModel", "by hand"])
def test_a_weight_average(kind):
    def train(run):
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        if kind == "by hand":
            ema = copy.deepcopy(model)
        else:
            ema = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
        for _ in run.epochs():
            for x, y in run.batches(DataLoader(data(), batch_size=5, shuffle=True)):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
                if kind == "by hand":
                    for mine, live in zip(ema.parameters(), model.parameters(), strict=True):
                        mine.data.lerp_(live.data, 0.1)
                else:
                    ema.update_parameters(model)
            run.see(ema.state_dict())

    assert_goes_on_exactly(train)


def test_the_best_value_patience_a_history_and_a_total_over_the_epoch():
    def train(run):
        w = torch.zeros(4, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1)
        best, bad = run.keep(best=float("inf"), bad=0)
        history = []  # changed in place: found
        for _ in run.epochs():
            total = run.keep(total=0.0)
            for x, _ in run.batches(DataLoader(data(), batch_size=4, shuffle=True)):
                optimizer.zero_grad()
                loss = (x @ w - torch.rand(1)).square().mean()
                loss.backward()
                optimizer.step()
                total = run.keep(total=total + loss.item())
            history.append(total)
            if total < best:
                best, bad = run.keep(best=total, bad=0)
            else:
                bad = run.keep(bad=bad + 1)
            run.see([history, best, bad])

    run = assert_goes_on_exactly(train, epochs=4)
    assert {"history", "optimizer", "best"} <= set(run.state.kept.names)


def test_a_replay_buffer_and_generators_of_every_kind():
    import collections
    import random

    import numpy as np

    def train(run):
        policy = nn.Linear(4, 2)
        optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
        buffer = run.keep(buffer=collections.deque(maxlen=6))
        choose, shake = random.Random(3), np.random.default_rng(4)
        old, own = np.random.RandomState(5), torch.Generator().manual_seed(6)
        for _ in run.epochs():
            for _ in range(4):
                state = torch.from_numpy(shake.normal(size=4).astype("float32"))
                buffer.append((state, float(old.rand()), np.float32(random.random())))
                picked, reward, noise = choose.choice(buffer)
                optimizer.zero_grad()
                loss = (policy(picked) * torch.randn(2, generator=own)).sum() * reward + noise
                loss.backward()
                optimizer.step()
                run.see([loss, np.random.rand(), list(buffer)])

    run = assert_goes_on_exactly(train)
    assert {"choose", "shake", "old", "own", "policy"} <= set(run.state.kept.names)


def test_what_a_loop_does_to_its_modules_flags():
    """Unfreezing in an epoch, and a validation that leaves the model in eval mode."""

    def train(run):
        model = net()
        model[0].requires_grad_(False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
        loader = DataLoader(data(), batch_size=10, shuffle=True)
        for epoch in run.epochs():
            for x, y in loader:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                run.see(loss)
            model.eval()
            if epoch == 0:
                model[0].requires_grad_(True)

    assert_goes_on_exactly(train)


def test_buffers_that_are_not_persistent_or_made_in_the_first_batch():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()), persistent=False)
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self, x):
            self.seen += 1
            if not hasattr(self, "scale"):
                self.register_buffer("scale", x.abs().mean(0), persistent=False)
            return (x * self.weight / self.scale).sum() * self.seen

    def train(run):
        model = Counting()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for _ in run.epochs():
            for x, _ in DataLoader(data(), batch_size=10, shuffle=True):
                optimizer.zero_grad()
                model(x).backward()
                optimizer.step()
                run.see(list(model.buffers()))

    assert_goes_on_exactly(train)


def test_a_trainer_object_and_parameters_of_no_module():
    class Trainer:
        def __init__(self):
            self.model = net()
            self.extra = [torch.zeros(2, requires_grad=True)]
            self.optimizer = torch.optim.AdamW([*self.model.parameters(), *self.extra], lr=0.1)
            self.step = 0

        def fit(self, run):
            self.step = run.keep(step=self.step)
            for _ in run.epochs():
                for x, y in run.batches(DataLoader(data(), batch_size=5, shuffle=True)):
                    self.optimizer.zero_grad()
                    logits = self.model(x) + self.extra[0]
                    nn.functional.cross_entropy(logits, y).backward()
                    self.optimizer.step()
                    self.step = run.keep(step=self.step + 1)
                run.see([self.step, self.extra[0].detach()])

    def train(run):
        Trainer().fit(run)

    run = assert_goes_on_exactly(train)
    assert {"model", "optimizer"} <= set(run.state.kept.names)


@pytest.mark.parametrize("follow", [True, False], ids=["batches", "epochs"])
def test_accelerate_with_accumulation(follow):
    accelerate = pytest.importorskip("accelerate")

    def train(run):
        accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
        model = net()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer)
        loader = DataLoader(data(), batch_size=4, shuffle=True)
        model, optimizer, loader, scheduler = accelerator.prepare(
            model, optimizer, loader, scheduler
        )
        for _ in run.epochs():
            for x, y in run.batches(loader) if follow else loader:
                with accelerator.accumulate(model):
                    loss = nn.functional.cross_entropy(model(x), y)
                    accelerator.backward(loss)
                    optimizer.step()
                    scheduler.step()
                    optimizer.zero_grad()
                    run.see([x, loss])

    assert_goes_on_exactly(train)
