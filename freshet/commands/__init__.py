"""The commands, a module each. A module has `register(app)` and imports what is heavy when run."""
