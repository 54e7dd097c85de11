"""Makes the models that Triton and the edge serve."""
