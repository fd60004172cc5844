"""The basecaller study: which component of a nanopore basecaller counts repeated bases."""
