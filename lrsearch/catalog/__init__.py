"""The catalog: optimizers and schedules as data.

Their fields, what a field takes, ranges with sources, and which pairs go together. It makes no
torch objects. It may import `task`, `user_input`, `errors` and `plain_data`.
"""
