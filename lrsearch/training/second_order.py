"""Gradients that an optimizer differentiates once more (Hutchinson's estimate of the Hessian)."""

import warnings

import torch

from lrsearch.catalog.lookup import optimizer_info


def is_second_order(optimizer: str) -> bool:
    """Whether the optimizer needs gradients that keep their graph."""
    return optimizer_info(optimizer, "optimizer").known.second_order


def backward_with_graph(loss: torch.Tensor) -> None:
    """Put gradients into the parameters that can be differentiated themselves.

    They hold memory until they are set to None, as torch warns; the trial does that at its next
    step.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Using backward\(\) with create_graph=True")
        loss.backward(create_graph=True)  # type: ignore[no-untyped-call]
