"""A study in the database: create, extend, ask, judge, tell, confirm.

It may import `storage`, `confirmation`, `range_test`, `fusing`, `spec`, `task`
and below, never torch.
Only `study.optuna` imports Optuna.
"""
