"""The steps of the genomic study, as declarations: cheap to import, so that what would run can be asked at once."""
