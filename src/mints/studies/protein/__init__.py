"""The protein study: latents of protein language models, held against annotation, mutational scans and circuits."""
