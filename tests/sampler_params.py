"""Optuna's parameters as the sampler takes them."""

from lrsearch.study.optuna.public.history import seen_trial


def sampler_params(trial):
    """A stored trial's parameters in the sampler's names and units."""
    return seen_trial(trial, 0).params


def encoded_params(encoding):
    """The same of an encoded recipe."""
    params = dict(encoding.params)
    for name, unit in encoding.units.items():
        del params[name]
        params[unit.name] = unit.number
    return params
