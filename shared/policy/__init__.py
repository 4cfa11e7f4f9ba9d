"""The policy: read strictly from its file, matched and decided purely."""
