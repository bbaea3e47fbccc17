"""The API of plots, /api/plots: a plot's journal of events outlives the connections of its readers."""
