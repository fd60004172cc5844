"""The steps of the protein study, as declarations: cheap to import, so that what would run can be asked at once."""
