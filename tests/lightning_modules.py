"""Modules and callbacks as users of Lightning write them, and a Trainer that fits them. Apart from
their tests, since Lightning takes 3 s to import in each process that collects tests.
"""

import logging

import lightning.pytorch as L
import torch
from hand_written_loops import Net, batches
from lightning.pytorch.plugins import MixedPrecision
from torch.utils.data import DataLoader

from lrsearch.lightning import Callback

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def mixed_precision(**how):
    """Half precision with a loss scaler that is made so."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**30, **how)
    return MixedPrecision("16-mixed", "cpu", scaler)


class Module(L.LightningModule):
    """A user's module; the optimizer that it configures is to be replaced."""

    def __init__(self):
        super().__init__()
        self.net = Net()
        self.lrs = []

    def training_step(self, batch, batch_idx):
        x, y = batch
        return (self.net(x) - y).square().mean()

    def on_before_optimizer_step(self, optimizer):
        self.lrs.append(optimizer.param_groups[0]["lr"])

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", (self.net(x) - y).square().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=123.0)


def fit(run, module=Module, callbacks=(), loader=None, ckpt_path=None, **options):
    L.seed_everything(run.seed)
    # Made after seeding, as users do: a class, or a module that is there already.
    module = module() if isinstance(module, type) else module
    monitor = options.pop("monitor", "val_loss")
    options = {"max_epochs": run.recipe.epochs or -1, "accelerator": "cpu", **options}
    trainer = L.Trainer(
        callbacks=None if callbacks is None else [Callback(run, monitor), *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    loader = loader or DataLoader(batches(), batch_size=4, shuffle=True)
    trainer.fit(module, loader, DataLoader(batches(), batch_size=16), ckpt_path=ckpt_path)
    return module, trainer


class Hooks(L.Callback):
    """What Lightning still does in a run that was ended."""

    def __init__(self):
        self.called = []

    def on_train_end(self, trainer, pl_module):
        self.called.append("train end")

    def on_fit_end(self, trainer, pl_module):
        self.called.append("fit end")


class Diverging(Module):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) * (1.0 if self.global_step < 2 else 1e30)


class Grouped(Module):
    """Trains two of three layers: one without weight decay, the other at a tenth of the lr."""

    def configure_optimizers(self):
        first, _, _, last = self.net.layers
        first.bias.requires_grad_(False)
        groups = [
            {"params": first.parameters(), "lr": 1e-4, "weight_decay": 0.3},
            {"params": last.weight, "lr": 1e-3, "weight_decay": 0.3},
            {"params": last.bias, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=1e-3)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule}}


class Building(Module):
    """Calls run.build itself."""

    def __init__(self, run):
        super().__init__()
        self.run = run

    def configure_optimizers(self):
        return self.run.build(self.net.layers[0], steps_per_epoch=8)


class Gan(Module):
    """Two optimizers, stepped by hand."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.other = Net()
        self.other_lrs = []

    def training_step(self, batch, batch_idx):
        for net, optimizer in zip((self.net, self.other), self.optimizers(), strict=True):
            optimizer.zero_grad()
            self.manual_backward((net(batch[0]) - batch[1]).square().mean())
            optimizer.step()

    def on_before_optimizer_step(self, optimizer):
        is_first = optimizer is self.optimizers()[0].optimizer
        (self.lrs if is_first else self.other_lrs).append(optimizer.param_groups[0]["lr"])

    def configure_optimizers(self):
        return [torch.optim.Adam(net.parameters()) for net in (self.net, self.other)], []


class Ported(Module):
    """The same module without lrsearch: the recipe's optimizer and schedule as Lightning has it."""

    def __init__(self, recipe):
        L.seed_everything(recipe.seed)
        super().__init__()
        self.recipe = recipe

    def configure_optimizers(self):
        optimizer, schedule = self.recipe.build(self, steps_per_epoch=8)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class Remembers(L.Callback):
    """Has a state of its own."""

    def __init__(self):
        self.seen = []

    def on_validation_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            self.seen.append(trainer.callback_metrics["val_loss"].item())

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


class WithState(Module):
    """Keeps a count in Lightning's own way."""

    def __init__(self):
        super().__init__()
        self.batches_seen = 0

    def training_step(self, batch, batch_idx):
        self.batches_seen += 1
        return super().training_step(batch, batch_idx)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["batches_seen"] = self.batches_seen

    def on_load_checkpoint(self, checkpoint):
        self.batches_seen = checkpoint["batches_seen"]
