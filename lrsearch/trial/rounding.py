"""EPSILON: by how much a float may miss the whole number that it stands for.

Runs that a budget pays for, steps of a grid and rungs are counted by quotients of floats. What is 3
on paper may be 2.9999999999999996 as a float, and would lose a whole run if it were rounded down.
Nothing that people write as different differs by so little.
"""

import math

#: Slack of a quotient, absolute or relative; a few operations on floats are off by about 1e-15.
EPSILON = 1e-9


def floor(value: float) -> int:
    """The largest whole number that is at most `value`, within EPSILON."""
    return math.floor(value + EPSILON)


def ceil(value: float) -> int:
    """The smallest whole number that is at least `value`, within EPSILON."""
    return math.ceil(value - EPSILON)
