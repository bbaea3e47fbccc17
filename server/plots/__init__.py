"""Plots for programs: /api/plots, each with a journal of events that outlives its readers' connections."""
