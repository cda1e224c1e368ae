"""The values that figures are drawn from: plain values, nothing drawn.

It may import `report.model`, `report.text.format` and `advice`, never a library that draws.
"""
