"""Step 4: a notification becomes a finished row."""
