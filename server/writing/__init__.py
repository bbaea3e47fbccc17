"""Writing a plot for a brief: what a writer asks for, the text as it comes, and the feed that its readers follow."""
