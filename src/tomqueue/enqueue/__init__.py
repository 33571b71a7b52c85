"""Step 1: a call becomes a row and, after the commit, a notification."""
