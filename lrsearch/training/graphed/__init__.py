"""The graphed engine: a cohort whose whole step is device work, captured as one CUDA graph.

It may import what `training` may. `training.fused` does not import it.
"""
