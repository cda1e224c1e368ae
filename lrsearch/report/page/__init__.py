"""The report as files: one self-contained page, Markdown, and each figure as a picture.

It may import the other packages of `report` except `live` and `dashboard`.
"""
