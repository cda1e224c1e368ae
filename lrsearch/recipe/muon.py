"""Muon for matrices with AdamW for the rest, as one optimizer that one scheduler drives.

An exported script holds the class as text, with these imports: it uses nothing else.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import AdamW, Muon, Optimizer


class MuonWithAdamW(Optimizer):
    """`torch.optim.Muon` and `torch.optim.AdamW` behind one list of parameter groups.

    The groups of `matrices` are Muon's, those of `others` AdamW's. Both show the `lr` that is
    Muon's, so that a scheduler scales both parts by one factor; the AdamW part takes
    `lr * adamw_lr_factor`.
    """

    def __init__(
        self,
        matrices: Sequence[torch.Tensor] | list[dict[str, Any]],
        others: list[dict[str, Any]],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        adamw_lr_factor: float = 1.0,
        adamw_betas: tuple[float, float] = (0.9, 0.999),
        adamw_eps: float = 1e-8,
        **muon: Any,
    ) -> None:
        self.adamw_lr_factor = adamw_lr_factor
        both: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
        self.muon = Muon(matrices, momentum=momentum, **both, **muon)
        self.adamw = None
        groups = list(self.muon.param_groups)
        self.muon_groups = len(groups)
        if others:
            self.adamw = AdamW(others, betas=adamw_betas, eps=adamw_eps, **both)
            groups += self.adamw.param_groups
        super().__init__(groups, {"lr": lr, "momentum": momentum})
        self._share()

    def _share(self) -> None:
        """Let both parts work on this object's groups and state."""
        self.muon.param_groups = self.param_groups[: self.muon_groups]
        self.muon.state = self.state
        if self.adamw is not None:
            self.adamw.param_groups = self.param_groups[self.muon_groups :]
            self.adamw.state = self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.state = defaultdict(dict, self.state)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.muon.step()  # type: ignore[no-untyped-call]
        if self.adamw is not None:
            lrs = [group["lr"] for group in self.adamw.param_groups]
            for group in self.adamw.param_groups:
                group["lr"] = group["lr"] * self.adamw_lr_factor
            self.adamw.step()
            for group, lr in zip(self.adamw.param_groups, lrs, strict=True):
                group["lr"] = lr
        return loss
