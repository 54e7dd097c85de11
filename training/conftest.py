"""Examples of modules that need torch run only where it is installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["emotion.py", "emotion_network.py", "user_tower.py"]
