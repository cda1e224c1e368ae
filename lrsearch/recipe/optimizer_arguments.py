"""What of a checked optimizer mapping its class takes; no torch is needed to tell."""

from lrsearch.plain_data import Document, Fields

#: Keys of an optimizer mapping that are no argument of its class.
NOT_ARGUMENTS = ("name", "fused", "weight_decay_exclude_1d")


def optimizer_arguments(optimizer: Fields) -> Document:
    """Keyword arguments of the class, lists as the tuples that torch takes."""
    arguments = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in optimizer.items()
        if key not in NOT_ARGUMENTS
    }
    return {**arguments, "fused": True} if optimizer.get("fused") else arguments
