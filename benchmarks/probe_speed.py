"""Cost of a probe with 1,000 bootstrap resamples: this package against scikit-learn and a Python loop, in one run.

    python benchmarks/probe_speed.py [--train 30000] [--width 768] [--test 3000] [--resamples 1000]

Both sides fit the same data at C = 1 on standardised features and judge the same test rows on the same resamples.
scikit-learn runs with its defaults (at most 100 steps of L-BFGS); the last lines hold both fits against one that runs
to convergence.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping
from time import perf_counter

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from sklearn import metrics as reference
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mints.analysis.bootstrap import cluster_weights, interval
from mints.analysis.logistic import fit_path
from mints.analysis.metrics import BLOCK, METRICS, auprc, auroc, confusion_metrics, evaluate, scored, sigmoid
from mints.analysis.probes import Labelled

PENALTY = 1.0


def residual_like(train: int, test: int, width: int, rng: np.random.Generator) -> tuple[Labelled, Labelled]:
    """Training and test vectors like those of a residual stream: correlated features, a few of them with large means.

    The spectrum follows a power law; a direction over all of it gives an AUROC of about 0.9.
    """
    spectrum = np.arange(1, width + 1) ** -0.7
    mixing = rng.normal(size=(width, width)) * spectrum[:, None]
    latent = rng.normal(size=(train + test, width))
    X = (latent @ mixing + 3 * rng.normal(size=width) * (rng.random(width) < 0.02)).astype(np.float32)
    logits = latent @ (rng.normal(size=width) * spectrum)
    labels = (rng.random(train + test) < sigmoid(3 * logits / logits.std())).astype(int)
    return Labelled(X[:train], labels[:train]), Labelled(X[train:], labels[train:])


def slope(labels: Int[ndarray, "row"], logits: Float[ndarray, "row"]) -> float:
    """Calibration slope by scikit-learn."""
    return float(LogisticRegression(C=np.inf).fit(logits[:, None], labels).coef_[0, 0])


LOOP: Mapping[str, Callable[[Int[ndarray, "row"], Float[ndarray, "row"]], float]] = {
    "auroc": reference.roc_auc_score,
    "auprc": reference.average_precision_score,
    "accuracy": lambda labels, logits: reference.accuracy_score(labels, logits > 0),
    "mcc": lambda labels, logits: reference.matthews_corrcoef(labels, logits > 0),
    "brier": lambda labels, logits: reference.brier_score_loss(labels, sigmoid(logits)),
    "calibration_slope": slope,
}
FIRST_THREE = METRICS[:3]


def loop_intervals(
    labels: Int[ndarray, "row"], logits: Float[ndarray, "row"], weights: Int[ndarray, "resample row"]
) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """95% interval and seconds of each metric, resample by resample, as a script would do it."""
    intervals, seconds = {}, {}
    rows = [np.repeat(np.arange(len(labels)), weight) for weight in weights]
    for name, metric in LOOP.items():
        start = perf_counter()
        values = [metric(labels[drawn], logits[drawn]) for drawn in rows]
        low, high = np.quantile(values, [0.025, 0.975])
        intervals[name], seconds[name] = (float(low), float(high)), perf_counter() - start
    return intervals, seconds


def three_intervals(
    labels: Int[ndarray, "row"], logits: Float[ndarray, "row"], weights: Int[ndarray, "resample row"]
) -> list[tuple[Float[ndarray, ""], Float[ndarray, ""]]]:
    """Intervals of AUROC, AUPRC and accuracy alone, by this package."""
    test = scored(labels, logits)
    blocks = [weights[start : start + BLOCK].astype(float) for start in range(0, len(weights), BLOCK)]
    figures = [(auroc(test, block), auprc(test, block), confusion_metrics(test, block)[0]) for block in blocks]
    return [interval(np.concatenate(values), 0.95) for values in zip(*figures, strict=True)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("train", 30_000), ("width", 768), ("test", 3_000), ("resamples", 1_000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    train, test = residual_like(asked.train, asked.test, asked.width, rng)
    weights = cluster_weights(np.arange(asked.test), asked.resamples, rng)

    start = perf_counter()
    model = fit_path(train.features, train.labels, [PENALTY])[0]
    fitted = perf_counter()
    logits = model.logits(test.features)
    ours = evaluate(test.labels, logits, weights, 0.95)
    done = perf_counter()
    three_intervals(test.labels, logits, weights)
    own_fit, own_six, own_three = fitted - start, done - fitted, perf_counter() - done

    start = perf_counter()
    scaler = StandardScaler().fit(train.features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        usual = LogisticRegression(C=PENALTY).fit(scaler.transform(train.features), train.labels)
    usual_logits = usual.decision_function(scaler.transform(test.features)).astype(float)
    usual_fit = perf_counter() - start
    intervals, seconds = loop_intervals(test.labels, usual_logits, weights)

    print(f"{asked.train:,} x {asked.width} training vectors, {asked.test:,} test rows, {asked.resamples:,} resamples")
    print(f"scikit-learn: fit {usual_fit:.2f} s; loop " + ", ".join(f"{k} {v:.2f}" for k, v in seconds.items()) + " s")
    print(f"mints:        fit {own_fit:.2f} s; {', '.join(FIRST_THREE)} {own_three:.2f} s; all six {own_six:.2f} s")
    for title, names, own in ((", ".join(FIRST_THREE), FIRST_THREE, own_three), ("all six", METRICS, own_six)):
        usual_all, own_all = usual_fit + sum(seconds[name] for name in names), own_fit + own
        print(f"fit and {title}: {usual_all:.2f} s against {own_all:.2f} s: {usual_all / own_all:.1f} x")
    print("metric               scikit-learn [interval]           mints [interval]")
    for name in METRICS:
        low, high = intervals[name]
        value = float(LOOP[name](test.labels, usual_logits))
        shown = f"{ours[name]:.5f} [{ours[f'{name}_low']:.5f}, {ours[f'{name}_high']:.5f}]"
        print(f"{name:<20} {value:.5f} [{low:.5f}, {high:.5f}]       {shown}")

    scaled = scaler.transform(train.features).astype(float)
    converged = LogisticRegression(C=PENALTY, tol=1e-8, max_iter=5000).fit(scaled, train.labels)
    exact = converged.decision_function(scaler.transform(test.features).astype(float))
    for title, other in (("scikit-learn's default", usual_logits), ("mints", logits)):
        apart = np.abs(other - exact).max()
        gap = abs(reference.roc_auc_score(test.labels, other) - reference.roc_auc_score(test.labels, exact))
        print(f"{title}: largest difference from the converged logits {apart:.1e}, of AUROC {gap:.1e}")


if __name__ == "__main__":
    main()
