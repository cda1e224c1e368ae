"""A task (model, data, loss), and finding the user's code that defines it.

It may import `errors` and `plain_data` alone.
"""
