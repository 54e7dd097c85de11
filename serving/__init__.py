"""The request pipeline, stage by stage, behind an ASGI service."""
