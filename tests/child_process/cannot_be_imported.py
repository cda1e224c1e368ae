"""A module that fails halfway."""

print(1 / 0)
