"""How comparisons look: one renderer a file, templates, charts and message catalogues."""
