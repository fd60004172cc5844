"""The steps of the basecaller study, as declarations: cheap to import, so that what would run can be asked at once."""
