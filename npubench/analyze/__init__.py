"""After: pure functions of a trace."""
