"""Step 3: the news."""
