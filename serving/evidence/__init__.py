"""What answers were made of: taken while they are made, kept for a while, told again later."""
