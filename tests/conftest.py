import pytest
import torch
from hypothesis import settings

# The same examples in every run, so that a red test means a changed program;
# `--hypothesis-profile explore` looks for new ones.
settings.register_profile("gate", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000, derandomize=False)
settings.load_profile("gate")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Results are bitwise equal on one thread only, and tiny models are faster with it."""
    torch.set_num_threads(1)
