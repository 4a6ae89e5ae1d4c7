"""Find: the catalog, the index over it, and the search that ranks."""
