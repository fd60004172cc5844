"""What other libraries publish: their tensors by name, and their forward passes written out from their definitions."""

import numpy as np

D_IN, D_SAE, K = 6, 15, 4


def drawn(seed=8):
    """Weights by role, float32: encoder (d_sae × d_in), decoder (d_in × d_sae), their biases, a threshold each."""
    rng = np.random.default_rng(seed)
    shapes = {"encoder": (D_SAE, D_IN), "encoder_bias": D_SAE, "decoder": (D_IN, D_SAE), "bias": D_IN}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return weights | {"thresholds": rng.uniform(0.2, 2, D_SAE).astype(np.float32)}


def tokens(count=9, seed=9):
    rng = np.random.default_rng(seed)
    return (3 * rng.normal(size=(count, D_IN)) + 0.7).astype(np.float32)


def relu(x):
    return np.maximum(x, 0)


def largest(pre, k):
    """Keeps the k largest of every row, where they are positive."""
    kept = np.zeros_like(pre)
    for row, values in enumerate(pre):
        for latent in sorted(range(len(values)), key=lambda latent: -values[latent])[:k]:
            kept[row, latent] = max(values[latent], 0)
    return kept


def autoencoder(w, x):
    """`AutoEncoder` of dictionary_learning, `ReLUSAE` of InterPLM."""
    latents = relu((x - w["bias"]) @ w["encoder"].T + w["encoder_bias"])
    return latents, latents @ w["decoder"].T + w["bias"]


def autoencoder_new(w, x):
    """`AutoEncoderNew` of dictionary_learning, `ReLUSAE_Tied` of InterPLM: nothing is taken from the input."""
    latents = relu(x @ w["encoder"].T + w["encoder_bias"])
    return latents, latents @ w["decoder"].T + w["bias"]


def topk(w, x, k=K):
    """`AutoEncoderTopK`, `TopKSAE`; also `SparseCoder` of sparsify."""
    latents = largest(relu((x - w["bias"]) @ w["encoder"].T + w["encoder_bias"]), k)
    return latents, latents @ w["decoder"].T + w["bias"]


def batch_topk(w, x, threshold):
    """`BatchTopKSAE` and `MatryoshkaBatchTopKSAE` in use: one threshold for all latents."""
    positive = relu((x - w["bias"]) @ w["encoder"].T + w["encoder_bias"])
    latents = positive * (positive > threshold)
    return latents, latents @ w["decoder"].T + w["bias"]


def jump_relu(w, x):
    """`JumpReLUSAE` of InterPLM."""
    pre = x @ w["encoder"].T + w["encoder_bias"]
    latents = relu(pre * (pre > w["thresholds"]))
    return latents, latents @ w["decoder"].T + w["bias"]


def jump_relu_with_norms(w, x):
    """`JumpReluAutoEncoder` of dictionary_learning: latents are multiplied by the length of their decoder row."""
    norms = np.linalg.norm(w["decoder"], axis=0)
    pre = x @ w["encoder"].T + w["encoder_bias"]
    latents = relu(pre * (pre > w["thresholds"])) * norms
    return latents, (latents / norms) @ w["decoder"].T + w["bias"]


def to_sqrt_d(forward, w, x, **settings):
    """InterPLM's `forward(unnormalize=True)`: every token is brought to length √d, and the output back."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    latents, output = forward(w, x / length * np.sqrt(D_IN), **settings)
    return latents, output * length / np.sqrt(D_IN)


def interprot(w, x, k):
    """`SparseAutoencoder` of InterProt: layer norm without weights, undone after decoding."""
    mean = x.mean(axis=1, keepdims=True)
    spread = x.std(axis=1, ddof=1, keepdims=True)
    latents = largest(((x - mean) / (spread + 1e-5) - w["bias"]) @ w["encoder"].T + w["encoder_bias"], k)
    return latents, (latents @ w["decoder"].T + w["bias"]) * spread + mean
