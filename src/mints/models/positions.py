"""How a position enters the attention: ALiBi's distance penalty, and rotary embeddings."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def alibi_slopes(n_heads: int) -> list[float]:
    """Slope of each head (Press et al. 2022, section 3): geometric for powers of two.

    Otherwise the slopes of the next lower power of two, followed by every second slope of the next higher one; so with
    12 heads the ninth is the most local head and the eighth the most global, before any training.
    """
    if math.log2(n_heads).is_integer():
        start = 2.0 ** (-(2.0 ** -(math.log2(n_heads) - 3)))
        return [start ** (head + 1) for head in range(n_heads)]
    lower = 2 ** math.floor(math.log2(n_heads))
    return alibi_slopes(lower) + alibi_slopes(2 * lower)[0::2][: n_heads - lower]


def alibi_bias(n_heads: int, length: int, device: torch.device) -> Float[Tensor, "head query key"]:
    """Symmetric penalty `-slope · |query - key|` that is added to the attention scores."""
    place = torch.arange(length, device=device)
    distance = (place[:, None] - place[None, :]).abs().float()
    return -torch.tensor(alibi_slopes(n_heads), device=device)[:, None, None] * distance


def attention_window(window: tuple[int, int], length: int, device: torch.device) -> Bool[Tensor, "query key"]:
    """True where the query at i sees the key at j: i − before ≤ j ≤ i + after, for window = (before, after)."""
    place = torch.arange(length, device=device)
    ahead = place[None, :] - place[:, None]
    return (ahead >= -window[0]) & (ahead <= window[1])


class Rotation:
    """Rotary embedding (Su et al. 2021) of one length, in the half-split convention of GPT-NeoX, base 10,000."""

    def __init__(self, d_head: int, length: int, device: torch.device) -> None:
        frequency = 10_000.0 ** -(torch.arange(0, d_head, 2, device=device).float() / d_head)
        angle = torch.outer(torch.arange(length, device=device).float(), frequency)
        self.cosine = torch.cat([angle, angle], dim=-1)[:, None, :].cos()
        self.sine = angle[:, None, :].sin()

    def __call__(self, x: Float[Tensor, "batch pos head d_head"]) -> Float[Tensor, "batch pos head d_head"]:
        """Queries or keys turned by the angle of their position."""
        first, second = x.chunk(2, dim=-1)
        sine = self.sine.to(x.dtype)
        # Added in place, half by half: the turned copy of the textbook formula costs more than the products.
        turned = x * self.cosine.to(x.dtype)
        half = sine.shape[-1]
        turned[..., :half].addcmul_(second, sine, value=-1)
        turned[..., half:].addcmul_(first, sine)
        return turned
