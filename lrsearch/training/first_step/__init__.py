"""What makes every trial of a task fail, or spoils the comparison of trials, found before a study.

It may import what `training` may.
"""
