"""Which engine is faster: whether a model can be fused, and how long its steps take.

It may import what `training` may.
"""
