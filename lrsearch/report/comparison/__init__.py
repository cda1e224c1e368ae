"""Studies beside each other: which has the better recipe, how sure that is, and what was searched.

One value, `comparison.Comparison`, is shown as text, JSON and page. It only reads, and may import
the rest of `report` and below.
"""
