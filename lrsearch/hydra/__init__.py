"""Hydra: reports of a job to its study, and the study that a multirun with our sweeper describes.

The sweeper itself is `hydra_plugins/lrsearch_sweeper`, where Hydra looks for plugins. It may import
`command` and below, and `hydra`, which the extra of that name installs.
"""

from lrsearch.hydra.job import report

__all__ = ["report"]
