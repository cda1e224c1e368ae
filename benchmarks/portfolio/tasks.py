"""What the portfolio is derived on: seventeen small trainings, none of which it is reported on.

No digits, no diabetes, no Fashion-MNIST. Horizons are such that a good recipe is near its best and
a training takes one core some seconds at most.
"""

from collections.abc import Mapping

from images import patch_autoencoder, photograph, shapes_batchnorm, shapes_deep, shapes_plain
from tabular import (
    cancer,
    circuit_raw,
    clusters_deep,
    clusters_residual,
    clusters_wide,
    ill_conditioned,
    spirals,
    teacher,
    wine_raw,
)
from text import licence_transformer, source_gru, source_lines

#: Name of each task, a function of this module, to the epochs of a training.
EPOCHS: Mapping[str, int] = {
    "cancer": 30,
    "wine_raw": 80,
    "circuit_raw": 30,
    "teacher": 20,
    "clusters_deep": 30,
    "spirals": 50,
    "ill_conditioned": 15,
    "shapes_batchnorm": 15,
    "shapes_plain": 20,
    "photograph": 20,
    "patch_autoencoder": 20,
    "licence_transformer": 6,
    "source_gru": 8,
    "source_lines": 20,
    "clusters_wide": 10,
    "clusters_residual": 8,
    "shapes_deep": 8,
}

__all__ = [
    "EPOCHS",
    "cancer",
    "circuit_raw",
    "clusters_deep",
    "clusters_residual",
    "clusters_wide",
    "ill_conditioned",
    "licence_transformer",
    "patch_autoencoder",
    "photograph",
    "shapes_batchnorm",
    "shapes_deep",
    "shapes_plain",
    "source_gru",
    "source_lines",
    "spirals",
    "teacher",
    "wine_raw",
]
