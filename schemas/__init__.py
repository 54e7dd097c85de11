"""What crosses a boundary, each declared once."""
