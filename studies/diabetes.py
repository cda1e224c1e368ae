"""Progress of diabetes from ten measurements of a patient: a small regression, seconds on a CPU.

Run it: lrsearch run studies/diabetes.yaml
"""

import numpy as np
import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import mse_loss

import lrsearch

VALIDATION_PATIENTS = 100


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
    )


def load_data() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training and validation set, each (measurements, progress), in training standard deviations.

    scikit-learn's own scaling is to unit norm over all 442 patients (deviations of 0.05), so both
    columns are standardised here, by what the training patients show.
    """
    X, y = load_diabetes(return_X_y=True)
    X_train, X_val, y_train, y_val = train_test_split(
        X, y[:, None], test_size=VALIDATION_PATIENTS, random_state=0
    )
    train = standardise(X_train, X_train), standardise(y_train, y_train)
    validation = standardise(X_val, X_train), standardise(y_val, y_train)
    return train, validation


def standardise(values: np.ndarray, reference: np.ndarray) -> Tensor:
    return torch.tensor((values - reference.mean(0)) / reference.std(0), dtype=torch.float32)


def mae(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).abs().mean()


def task() -> lrsearch.Task:
    train, validation = load_data()
    return lrsearch.Task(
        model=make_model,
        train=train,
        validation=validation,
        loss=mse_loss,
        metrics={"mae": mae},
        batch_size=32,
    )
