"""A training loop of the user's own, in a process of its own, that a worker listens to."""
