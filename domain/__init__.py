"""All the mathematics, pure: state and event in, state and outputs out."""
