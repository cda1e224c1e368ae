"""One trial as a torch user writes it by hand: the oracle for everything that is said to be exact.

Nothing here comes from lrsearch, and nothing is clever.
"""

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CyclicLR,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)


def train(
    make_model,
    train,
    validation,
    loss_fn,
    *,
    make_optimizer,
    make_scheduler,
    seed,
    epochs,
    batch_size,
    clip_norm=None,
):
    """Weights, the validation loss of each epoch, the learning rate of each step."""
    inputs, targets = train
    steps = len(inputs) // batch_size
    torch.manual_seed(seed)
    model = make_model()
    optimizer = make_optimizer(model.parameters())
    scheduler = make_scheduler(optimizer, epochs * steps)
    on_plateau = isinstance(scheduler, ReduceLROnPlateau)
    val_losses, lrs = [], []
    for epoch in range(epochs):
        model.train()
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(inputs), generator=generator)
        for step in range(steps):  # the last partial batch is dropped
            batch = order[step * batch_size : (step + 1) * batch_size]
            optimizer.zero_grad()
            loss_fn(model(inputs[batch]), targets[batch]).backward()
            if clip_norm is not None:
                clip_grad_norm_(model.parameters(), clip_norm)
            lrs.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if not on_plateau:
                scheduler.step()
        val_losses.append(validate(model, validation, loss_fn, 8 * batch_size))
        if on_plateau:
            scheduler.step(val_losses[-1])
    return model.state_dict(), val_losses, lrs


@torch.no_grad()
def validate(model, validation, loss_fn, batch_size):
    """Mean loss over all samples."""
    inputs, targets = validation
    model.eval()
    total = 0.0
    for start in range(0, len(inputs), batch_size):
        batch = slice(start, start + batch_size)
        total += loss_fn(model(inputs[batch]), targets[batch]).item() * len(inputs[batch])
    return total / len(inputs)


LR = 0.2

#: Name to `parameters -> optimizer`.
PLAIN_OPTIMIZERS = {
    "sgd": lambda p: SGD(p, lr=LR),
    "sgd momentum": lambda p: SGD(p, lr=LR, momentum=0.9, weight_decay=1e-3),
    "sgd nesterov": lambda p: SGD(p, lr=LR, momentum=0.7, nesterov=True),
    "adam": lambda p: Adam(p, lr=LR, betas=(0.85, 0.99)),
    "adamw": lambda p: AdamW(p, lr=LR, weight_decay=0.1),
    "adagrad": lambda p: Adagrad(p, lr=LR),
    "rmsprop": lambda p: RMSprop(p, lr=LR, alpha=0.95, momentum=0.5),
}

#: What OneCycleLR cycles when asked to: from the optimizer's own momentum down by 0.1 and back;
#: torch's 0.95 and 0.85 where it has none.
PLAIN_CYCLED_MOMENTUM = {
    "sgd": {"max_momentum": 0.95, "base_momentum": 0.85},
    "sgd momentum": {"max_momentum": 0.9, "base_momentum": 0.8},
    "sgd nesterov": {"max_momentum": 0.7, "base_momentum": 0.6},
    "adam": {"max_momentum": 0.85, "base_momentum": 0.75},
    "adamw": {"max_momentum": 0.9, "base_momentum": 0.8},
    "rmsprop": {"max_momentum": 0.5, "base_momentum": 0.4},
}

#: Name to `(optimizer, steps) -> scheduler` over so many steps, 4 validations, with LR at its peak.
PLAIN_SCHEDULERS = {
    "constant": lambda o, T: ConstantLR(o, factor=1.0),
    "step": lambda o, T: StepLR(o, step_size=T // 3, gamma=0.1),
    "multistep": lambda o, T: MultiStepLR(o, milestones=[T // 3, 2 * T // 3], gamma=0.3),
    "exponential": lambda o, T: ExponentialLR(o, gamma=0.01 ** (1 / T)),
    "cosine": lambda o, T: CosineAnnealingLR(o, T_max=T, eta_min=0.1 * LR),
    "linear": lambda o, T: LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=T),
    "plateau": lambda o, T: ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=0),
    "cyclic": lambda o, T: CyclicLR(
        o,
        base_lr=0.1 * LR,
        max_lr=LR,
        step_size_up=T // 6,
        mode="triangular2",
        cycle_momentum=False,
    ),
    "one_cycle": lambda o, T: OneCycleLR(o, max_lr=LR, total_steps=T, cycle_momentum=False),
}

#: PLAIN_SCHEDULERS that can follow a linear warm-up.
PLAIN_WARMABLE = ("constant", "step", "multistep", "exponential", "cosine", "linear")


def plain_one_cycle_with_momentum(optimizer_name):
    momentum = PLAIN_CYCLED_MOMENTUM[optimizer_name]
    return lambda o, T: OneCycleLR(o, max_lr=LR, total_steps=T, **momentum)


def plain_with_warmup(name, fraction):
    """`(optimizer, steps) -> scheduler`, the first of the steps a warm-up from almost 0."""

    def make(optimizer, T):
        W = round(fraction * T)
        warm = LinearLR(optimizer, start_factor=1e-8, total_iters=W)
        main = PLAIN_SCHEDULERS[name](optimizer, T - W)
        return SequentialLR(optimizer, [warm, main], milestones=[W])

    return make
