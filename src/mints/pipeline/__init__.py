"""Named steps, their artifacts and manifests: a small resumable engine that knows no biology and no model."""
