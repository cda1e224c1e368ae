"""A worker's second thread renews its leases, and writes the curve rows that wait for it.

It may import `study`, `storage` and below, nothing else of `worker`.
"""
