"""During: the only folder that may read a clock."""
