"""Why an item was shown: read from what was kept of the answer, or of the user's present state."""
