"""What the verbs do, one file each; ``cli`` is their table of contents."""
