"""Where progress is kept: a directory, who may write to it, and which sweep it belongs to."""
