"""Readers and writers of Redis and Milvus, used by jobs, writers and serving alike."""
