"""Starts, checks and stops the real servers on one machine."""
