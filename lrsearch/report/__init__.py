"""What is read of a study: one value, shown as JSON, text, page and plots.

It may import `study`, `storage`, `export`, `advice` and below, never `training` or `worker`.
"""
