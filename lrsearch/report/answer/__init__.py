"""What a study's answer comes to: the gain, the verdict, safe learning rates, the cost of one run.

It may import `report.model`, what that is made of, and `report.figures.data`: never what draws
or words.
"""
