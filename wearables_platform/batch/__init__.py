"""The batch side's work without Dagster: archive to lake, cleaning, features, repair, parity, conservation.

Assets are thin shells around these functions. What decides (plans, comparisons, reading groups) is pure and apart from
what reads and writes the stores.
"""
