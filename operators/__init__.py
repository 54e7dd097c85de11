"""Thin Flink shells around `domain`: get state, call, put state, yield."""
