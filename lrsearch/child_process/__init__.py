"""Processes that a worker starts and ends, with everything that they have started themselves."""
