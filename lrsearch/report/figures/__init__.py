"""The figures of a report: what each draws as plain values, its chart, and the words beside it.

Each module answers one question. It has a pure function from the report to plain values, a function
from those to a chart, and `figure`, which joins them; None where there is nothing to draw. It may
import the rest of `report` and below.
"""
