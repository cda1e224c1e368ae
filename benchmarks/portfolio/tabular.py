"""Training tasks on tables: scikit-learn's bundled sets, and teachers whose data are drawn."""

from itertools import pairwise

import torch
from sklearn.datasets import load_breast_cancer, load_wine, make_classification, make_friedman2
from torch import Tensor, nn
from torch.nn import functional as F

import lrsearch

Split = tuple[Tensor, Tensor]
#: Seed of every order and draw here.
SEED = 7


def mlp(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of these widths, input and output included, with activations between."""
    layers: list[nn.Module] = []
    for first, second in pairwise(widths):
        layers += [nn.Linear(first, second), activation()]
    return nn.Sequential(*layers[:-1])


def halves(inputs: Tensor, targets: Tensor, train: int) -> tuple[Split, Split]:
    """The first `train` samples of a drawn order, and the others."""
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(SEED))
    first, rest = order[:train], order[train:]
    return (inputs[first], targets[first]), (inputs[rest], targets[rest])


def standardised(inputs: Tensor) -> Tensor:
    return (inputs - inputs.mean(0)) / inputs.std(0)


def floats(values: object) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)


def cancer() -> lrsearch.Task:
    """Breast cancer, standardised: an MLP that overfits within some epochs; batch 16."""
    X, y = load_breast_cancer(return_X_y=True)
    train, validation = halves(standardised(floats(X)), torch.as_tensor(y), 369)
    return lrsearch.Task(
        model=lambda: mlp(30, 64, 64, 2),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=16,
    )


def wine_raw() -> lrsearch.Task:
    """Wine in its own units (0.1 to 1700), not standardised: a small MLP; batch 16."""
    X, y = load_wine(return_X_y=True)
    train, validation = halves(floats(X), torch.as_tensor(y), 112)
    return lrsearch.Task(
        model=lambda: mlp(13, 32, 3),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=16,
    )


def circuit_raw() -> lrsearch.Task:
    """Friedman's second function, a circuit's impedance, in raw units (0 to 1750); batch 32."""
    X, y = make_friedman2(n_samples=1500, noise=50.0, random_state=SEED)
    train, validation = halves(standardised(floats(X)), floats(y)[:, None] / 100, 1024)
    return lrsearch.Task(
        model=lambda: mlp(4, 64, 64, 1),
        train=train,
        validation=validation,
        loss=F.mse_loss,
        batch_size=32,
    )


def teacher() -> lrsearch.Task:
    """Regression on a random tanh network with noise; a wider ReLU student; batch 64."""
    draw = torch.Generator().manual_seed(SEED)
    X = torch.randn(4096, 16, generator=draw)
    hidden = torch.tanh(X @ torch.randn(16, 24, generator=draw) / 3)
    y = hidden @ torch.randn(24, 1, generator=draw) / 3
    y = y + 0.05 * torch.randn(y.shape, generator=draw)
    train, validation = halves(X, y, 3072)
    return lrsearch.Task(
        model=lambda: mlp(16, 128, 128, 1),
        train=train,
        validation=validation,
        loss=F.mse_loss,
        batch_size=64,
    )


def clusters() -> tuple[Split, Split]:
    """Twelve classes of several clusters with wrong labels."""
    X, y = make_classification(
        n_samples=6144,
        n_features=24,
        n_informative=12,
        n_classes=12,
        n_clusters_per_class=2,
        flip_y=0.05,
        random_state=SEED,
    )
    return halves(floats(X), torch.as_tensor(y), 5120)


class Residual(nn.Module):
    """A norm, a wide layer and back, beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(width), mlp(width, 2 * width, width, activation=nn.GELU)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x))


def clusters_wide() -> lrsearch.Task:
    """Clusters, an MLP of two layers of 256; batch 64."""
    train, validation = clusters()
    return lrsearch.Task(
        model=lambda: mlp(24, 256, 256, 12),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=64,
    )


def clusters_residual() -> lrsearch.Task:
    """Clusters, four residual blocks with LayerNorm; batch 64."""
    train, validation = clusters()
    return lrsearch.Task(
        model=lambda: nn.Sequential(
            nn.Linear(24, 48),
            *(Residual(48) for _ in range(4)),
            nn.LayerNorm(48),
            nn.Linear(48, 12),
        ),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=64,
    )


def clusters_deep() -> lrsearch.Task:
    """Clusters, a thin MLP of 6 layers; batch 256."""
    train, validation = clusters()
    return lrsearch.Task(
        model=lambda: mlp(24, 48, 48, 48, 48, 48, 12, activation=nn.GELU),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=256,
    )


def spirals() -> lrsearch.Task:
    """Three spirals in the plane: a wide tanh MLP that has to bend its boundary; batch 128."""
    draw = torch.Generator().manual_seed(SEED)
    radius = torch.rand(3072, generator=draw).sqrt()
    arm = torch.randint(3, (3072,), generator=draw)
    angle = 7.0 * radius + 2.0944 * arm + 0.12 * torch.randn(3072, generator=draw)
    X = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    train, validation = halves(X, arm, 2048)
    return lrsearch.Task(
        model=lambda: mlp(2, 96, 96, 3, activation=nn.Tanh),
        train=train,
        validation=validation,
        loss=F.cross_entropy,
        batch_size=128,
    )


def ill_conditioned() -> lrsearch.Task:
    """Linear regression whose features have scales from 0.03 to 3 and are correlated; batch 32."""
    draw = torch.Generator().manual_seed(SEED)
    scales = torch.logspace(-1.5, 0.5, 40)
    mixing = torch.eye(40) + 0.15 * torch.randn(40, 40, generator=draw)
    X = (torch.randn(2048, 40, generator=draw) * scales) @ mixing
    y = X / X.std(0) @ torch.randn(40, 1, generator=draw)
    y = y / y.std() + 0.1 * torch.randn(y.shape, generator=draw)
    train, validation = halves(X, y, 1536)
    return lrsearch.Task(
        model=lambda: nn.Linear(40, 1),
        train=train,
        validation=validation,
        loss=F.mse_loss,
        batch_size=32,
    )
