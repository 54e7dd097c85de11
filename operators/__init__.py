"""The folds of the jobs, thin around `domain`, and what runs them: in Flink, or without it."""
