"""Profiles and items as rows: for reports, and for what people enter about themselves."""
