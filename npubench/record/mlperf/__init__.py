"""MLPerf Inference's folders: a run handed on in their layout, and published ones read as reference rows."""
