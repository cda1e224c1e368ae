"""Lightning: a callback with which `Trainer.fit` trains a recipe and reports to its study.

It may import `own_loop` and below, and `lightning`, which the extra of that name installs. Torch is
imported.
"""

from lrsearch.lightning.callback import Callback

__all__ = ["Callback"]
