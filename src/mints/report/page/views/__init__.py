"""The chapters of the page, a file each: saved artifacts in, a `View` out."""
