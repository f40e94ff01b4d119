"""Said: comparisons and report content as data."""
