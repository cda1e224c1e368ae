"""The fused engine: several trials as one program over stacked weights.

It may import what `training` may.
"""
