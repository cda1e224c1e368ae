"""What a worker claims and trains: search trials, confirmation runs and range tests.

Each module claims one kind, and records what came of it. It may import `context`, `leases` and
below, never `training_loop`.
"""
