"""Files of a SAELens directory."""

CONFIGURATION, WEIGHTS = "cfg.json", "sae_weights.safetensors"
