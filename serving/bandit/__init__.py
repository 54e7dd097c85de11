"""The BanditService: rewards in, draws and parameters out."""
