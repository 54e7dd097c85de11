"""A shop's real history as a stream: its data, its import, and the guided show."""
