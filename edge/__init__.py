"""The stages on a compact snapshot, next to the user."""
