"""The consumer group that carries what the jobs emit into Redis and Milvus."""
