"""Experiment trackers: the trials and confirmation runs of a study as runs of TensorBoard, MLflow
or Weights & Biases, copied from the database while workers train.

It may import `study`, `storage`, `spec` and below, never `worker` or `report`.
"""
