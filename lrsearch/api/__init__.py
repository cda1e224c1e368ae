"""Python: `lrsearch.search`, `lrsearch.open_study`, and the `Result` that both return.

It may import everything but `cli`. pandas and pyplot are loaded by the methods that need them.
"""
