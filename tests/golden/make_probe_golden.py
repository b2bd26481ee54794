"""Writes probe.safetensors: what scikit-learn makes of small random features in float64.

    features         (N, D), labels (N), queries (M, D), query_labels (M)
    CASE.weight      (C, D), CASE.bias (C): LogisticRegression's coefficients; CASE.loss: mean cross entropy + penalty
    CASE.answers     (M): predict
    knn.K.weighted, knn.K.majority   (M): KNeighborsClassifier by cosine; weights exp(cosine / 0.07), and equal ones

CASE is multi.C or two.C with C the inverse regularisation; `two` has the labels modulo 2. Needs scikit-learn.
"""
import pathlib

import numpy as np
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

ROWS, QUERIES, WIDTH, CLASSES = 60, 40, 6, 4


def draw(generator, centres, count):
    labels = generator.integers(0, CLASSES, count)
    return centres[labels] + generator.normal(size=(count, WIDTH)) + 0.3, labels


def main():
    generator = np.random.default_rng(3)
    centres = generator.normal(size=(CLASSES, WIDTH))
    features, labels = draw(generator, centres, ROWS)
    queries, query_labels = draw(generator, centres, QUERIES)
    tensors = {"features": features, "labels": labels, "queries": queries, "query_labels": query_labels}
    for name, target in (("multi", labels), ("two", labels % 2)):
        for c in (0.01, 1.0, 100.0):
            model = LogisticRegression(C=c, solver="newton-cg", tol=1e-13, max_iter=100000).fit(features, target)
            log_probability = model.predict_log_proba(features)[np.arange(ROWS), target]
            loss = -log_probability.mean() + (model.coef_ ** 2).sum() / (2 * c * ROWS)
            tensors |= {f"{name}.{c:g}.weight": model.coef_, f"{name}.{c:g}.bias": model.intercept_,
                        f"{name}.{c:g}.loss": np.array(loss), f"{name}.{c:g}.answers": model.predict(queries)}
    weighted = lambda distances: np.exp((1 - distances) / 0.07)
    for k in (1, 5, 20):
        for name, weights in (("weighted", weighted), ("majority", "uniform")):
            model = KNeighborsClassifier(k, weights=weights, metric="cosine", algorithm="brute").fit(features, labels)
            tensors[f"knn.{k}.{name}"] = model.predict(queries)
    path = pathlib.Path(__file__).parent / "probe.safetensors"
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path, {"format": "np"})
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
