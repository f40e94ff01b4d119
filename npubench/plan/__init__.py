"""Before: from a suite file to decided runs, and from a manifest to a bundle."""
