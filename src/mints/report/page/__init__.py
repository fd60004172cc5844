"""The page: everything that a run found, as one HTML file that needs no server and no network."""
