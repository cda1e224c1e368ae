"""One trial as a torch user writes it by hand: the oracle for everything that is said to be exact.

Nothing here comes from lrsearch, and nothing is clever.
"""

import math

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import (
    ASGD,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Muon,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
)
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
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
    accumulate=1,
    dtype=None,
):
    """Weights, the validation loss of each epoch, the learning rate of each step.

    `make_optimizer` may give several optimizers, each with a scheduler of its own. With a `dtype`
    forward passes run in it under autocast, torch.float16 with a loss scaler.
    """
    inputs, targets = train
    steps = len(inputs) // batch_size // accumulate
    autocast = torch.autocast("cpu", dtype=dtype, enabled=dtype is not None)
    scaler = torch.amp.GradScaler("cpu", enabled=dtype is torch.float16)
    torch.manual_seed(seed)
    model = make_model()
    made = make_optimizer(model.parameters())
    optimizers = made if isinstance(made, list) else [made]
    schedulers = [make_scheduler(optimizer, epochs * steps) for optimizer in optimizers]
    on_plateau = isinstance(schedulers[0], ReduceLROnPlateau)
    val_losses, lrs = [], []
    for epoch in range(epochs):
        model.train()
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(inputs), generator=generator)
        for step in range(steps):  # the last partial batch is dropped, and what makes no whole step
            model.zero_grad()
            for micro in range(step * accumulate, (step + 1) * accumulate):
                batch = order[micro * batch_size : (micro + 1) * batch_size]
                with autocast:
                    loss = loss_fn(model(inputs[batch]), targets[batch]) / accumulate
                scaler.scale(loss).backward()
            for optimizer in optimizers:
                scaler.unscale_(optimizer)
            if clip_norm is not None:
                clip_grad_norm_(model.parameters(), clip_norm)
            lrs.append(optimizers[0].param_groups[0]["lr"])
            scale = scaler.get_scale()
            for optimizer in optimizers:
                scaler.step(optimizer)
            scaler.update()
            if not on_plateau and scaler.get_scale() >= scale:
                for scheduler in schedulers:
                    scheduler.step()
        with autocast:
            val_losses.append(validate(model, validation, loss_fn, 8 * batch_size))
        if on_plateau:
            for scheduler in schedulers:
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
    "adamw undecayed vectors": lambda p: AdamW(by_dimensions(p, 0.1), lr=LR),
    "nadam": lambda p: NAdam(p, lr=LR, weight_decay=0.1, decoupled_weight_decay=True),
    "radam": lambda p: RAdam(p, lr=LR, betas=(0.8, 0.99)),
    "adamax": lambda p: Adamax(p, lr=LR, weight_decay=1e-3),
    "adagrad": lambda p: Adagrad(p, lr=LR),
    "adadelta": lambda p: Adadelta(p, lr=5 * LR, rho=0.8),
    "rmsprop": lambda p: RMSprop(p, lr=LR, alpha=0.95, momentum=0.5),
    "adafactor": lambda p: Adafactor(p, lr=LR, weight_decay=0.01),
    "asgd": lambda p: ASGD(p, lr=LR, t0=10.0),
    "rprop": lambda p: Rprop(p, lr=LR, etas=(0.6, 1.1)),
    "muon": lambda p: muon_and_adamw(list(p), momentum=0.9),
    "muon original": lambda p: muon_and_adamw(list(p), adjust_lr_fn="original", adamw_lr=0.1 * LR),
}


def by_dimensions(parameters, weight_decay):
    parameters = list(parameters)
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def muon_and_adamw(parameters, *, momentum=0.95, adjust_lr_fn="match_rms_adamw", adamw_lr=LR):
    """Two optimizers side by side: matrices with Muon, the rest with AdamW."""
    matrices = [p for p in parameters if p.ndim == 2]
    others = [p for p in parameters if p.ndim != 2]
    return [
        Muon(matrices, lr=LR, momentum=momentum, adjust_lr_fn=adjust_lr_fn),
        AdamW(others, lr=adamw_lr, weight_decay=0.1),
    ]


#: What OneCycleLR cycles when asked to: from the optimizer's own momentum down by 0.1 and back;
#: torch's 0.95 and 0.85 where it has none.
PLAIN_CYCLED_MOMENTUM = {
    "sgd": {"max_momentum": 0.95, "base_momentum": 0.85},
    "sgd momentum": {"max_momentum": 0.9, "base_momentum": 0.8},
    "sgd nesterov": {"max_momentum": 0.7, "base_momentum": 0.6},
    "adam": {"max_momentum": 0.85, "base_momentum": 0.75},
    "adamw": {"max_momentum": 0.9, "base_momentum": 0.8},
    "adamw undecayed vectors": {"max_momentum": 0.9, "base_momentum": 0.8},
    "nadam": {"max_momentum": 0.9, "base_momentum": 0.8},
    "radam": {"max_momentum": 0.8, "base_momentum": 0.7},
    "adamax": {"max_momentum": 0.9, "base_momentum": 0.8},
    "rmsprop": {"max_momentum": 0.5, "base_momentum": 0.4},
}

#: Name to `(optimizer, steps) -> scheduler` over so many steps, 4 validations, with LR at its peak.
PLAIN_SCHEDULERS = {
    "constant": lambda o, T: ConstantLR(o, factor=1.0),
    "step": lambda o, T: StepLR(o, step_size=T // 3, gamma=0.1),
    "multistep": lambda o, T: MultiStepLR(o, milestones=[T // 3, 2 * T // 3], gamma=0.3),
    "exponential": lambda o, T: ExponentialLR(o, gamma=0.01 ** (1 / T)),
    "cosine": lambda o, T: CosineAnnealingLR(o, T_max=T, eta_min=0.1 * peak(o)),
    "cosine_restarts": lambda o, T: CosineAnnealingWarmRestarts(o, T_0=T // 3),
    "linear": lambda o, T: LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=T),
    "polynomial": lambda o, T: PolynomialLR(o, total_iters=T, power=2.0),
    "plateau": lambda o, T: ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=0),
    "cyclic": lambda o, T: CyclicLR(
        o,
        base_lr=0.1 * peak(o),
        max_lr=peak(o),
        step_size_up=T // 6,
        mode="triangular2",
        cycle_momentum=False,
    ),
    "one_cycle": lambda o, T: OneCycleLR(o, max_lr=peak(o), total_steps=T, cycle_momentum=False),
    "wsd": lambda o, T: LambdaLR(o, lambda t: 1 - math.sqrt(max(0, t - T // 2) / (T - T // 2))),
    "rex": lambda o, T: LambdaLR(o, lambda t: (1 - t / T) / (0.5 + 0.5 * (1 - t / T))),
    "inverse_sqrt": lambda o, T: LambdaLR(o, lambda t: math.sqrt(0.5 * T / (0.5 * T + t))),
}


def peak(optimizer):
    group = optimizer.param_groups[0]
    return group.get("initial_lr", group["lr"])  # a warm-up has lowered its lr


#: PLAIN_SCHEDULERS that can follow a linear warm-up.
PLAIN_WARMABLE = tuple(
    name for name in PLAIN_SCHEDULERS if name not in ("plateau", "cyclic", "one_cycle")
)


def plain_one_cycle_with_momentum(optimizer_name):
    momentum = PLAIN_CYCLED_MOMENTUM[optimizer_name]
    return lambda o, T: OneCycleLR(o, max_lr=peak(o), total_steps=T, **momentum)


def plain_with_warmup(name, fraction):
    """`(optimizer, steps) -> scheduler`, the first of the steps a warm-up from almost 0."""

    def make(optimizer, T):
        W = round(fraction * T)
        warm = LinearLR(optimizer, start_factor=1e-8, total_iters=W)
        main = PLAIN_SCHEDULERS[name](optimizer, T - W)
        return SequentialLR(optimizer, [warm, main], milestones=[W])

    return make
