"""The values that figures are drawn from: plain values, nothing drawn.

It may import `report.model`, `report.text.format` and what lies below `report`, never a library
that draws.
"""
