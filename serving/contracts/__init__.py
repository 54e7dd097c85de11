"""What callers in other languages are promised, and the code made from it."""
