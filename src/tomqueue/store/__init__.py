"""Step 2: the rows, which are the truth."""
