"""The colours of a report's figures, drawn by altair or by matplotlib.

They are Okabe and Ito's (2008), which the colour-blind tell apart, without yellow and black, which
one of a light and a dark page swallows.
"""

BLUE, ORANGE, GREEN, PINK, SKY, RED = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
)
GREY = "#8c8c8c"
#: One after the other for trials, optimizers and schedules.
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
