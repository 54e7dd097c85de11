"""The way of a request: admit, context, candidates, rank, explore, rerank, answer."""
