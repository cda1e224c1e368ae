"""An Optuna trial whose values hypothesis draws."""

import math

from hypothesis import strategies as st


class DrawnTrial:
    """Draws each parameter once, as Optuna does, and remembers what was asked."""

    def __init__(self, data, given=None):
        self.data = data
        #: Parameters that are not drawn, as those of an enqueued trial.
        self.given = dict(given or {})
        self.params = {}
        #: Name to (low, high) of the ranges asked for.
        self.bounds = {}

    def _value(self, name, strategy):
        value = self.given[name] if name in self.given else self.data.draw(strategy, label=name)
        assert self.params.setdefault(name, value) == value, f"{name} was asked twice"
        return value

    def suggest_float(self, name, low, high, *, step=None, log=False):
        assert 0 < low <= high if log else low <= high
        self.bounds[name] = low, high
        if step is not None:
            count = math.floor((high - low) / step + 1e-9)
            return self._value(name, st.integers(0, count).map(lambda i: min(low + i * step, high)))
        return self._value(name, st.floats(low, high))

    def suggest_int(self, name, low, high, *, step=1, log=False):
        assert 0 < low <= high if log else low <= high
        self.bounds[name] = low, high
        return self._value(name, st.integers(0, (high - low) // step).map(lambda i: low + i * step))

    def suggest_categorical(self, name, choices):
        return self._value(name, st.sampled_from(list(choices)))
