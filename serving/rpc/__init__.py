"""What every call over gRPC passes, and the server that takes them."""
