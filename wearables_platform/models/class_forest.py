"""A forest that tells classes apart, as flat arrays; its probabilities are scikit-learn's, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.models.forest import FlatTrees, TreeNodes
from wearables_platform.models.inputs import Matrix
from wearables_platform.models.refusal import Refusal, refused

Floats = NDArray[np.float64]

ROWS_AT_ONCE: Final = 1_024


@dataclass(frozen=True)
class ClassForest:
    """Trees whose leaves say how probable each class is.

    Attributes
    ----------
    nodes : TreeNodes
        As they lie in a file.
    shares : (L, C) float64
        Each leaf's probabilities, in the order of the nodes.
    trees : FlatTrees
    leaf_number : (N,) int32
        Which leaf a node is; any number for a node that is none.
    """

    nodes: TreeNodes
    shares: Floats
    trees: FlatTrees
    leaf_number: NDArray[np.int32]

    @classmethod
    def checked(cls, nodes: TreeNodes, shares: Floats, n_features: int) -> ClassForest:
        """Build from arrays nobody has looked at; `ModelRefused` where they are no such forest."""
        trees = FlatTrees.checked(nodes, n_features)
        if shares.ndim != 2 or len(shares) != int(trees.leaf.sum()) or shares.shape[1] < 2:
            raise refused(Refusal.NOT_A_FOREST, "not one row of two or more probabilities per leaf")
        # A NaN fails both comparisons.
        if not ((shares >= 0).all() and (np.abs(shares.sum(axis=1) - 1.0) < 1e-9).all()):
            raise refused(Refusal.NAN_OUTPUT, "a leaf's probabilities do not add up to 1")
        return cls(nodes, shares, trees, (np.cumsum(trees.leaf) - 1).astype(np.int32))

    @classmethod
    def of(cls, fitted: Any, n_features: int) -> ClassForest:
        """Flatten a fitted scikit-learn classifier of trees with one output."""
        trees = [estimator.tree_ for estimator in fitted.estimators_]
        nodes = TreeNodes.of(trees)
        value = np.concatenate([tree.value[:, 0, :] for tree in trees])
        return cls.checked(nodes, value[nodes.left < 0], n_features)

    def probabilities(self, matrix: Matrix) -> Floats:
        """Return the (W, C) mean of the trees' probabilities; a row's bits do not depend on the others."""
        found = np.empty((len(matrix), self.shares.shape[1]))
        for begin in range(0, len(matrix), ROWS_AT_ONCE):
            chunk = slice(begin, begin + ROWS_AT_ONCE)
            found[chunk] = self._mean(matrix[chunk])
        return found

    def _mean(self, matrix: Matrix) -> Floats:
        leaves = self.leaf_number[self.trees.leaves(matrix)]
        total = np.zeros((len(matrix), self.shares.shape[1]))
        for leaf in leaves:  # tree after tree, as scikit-learn does
            total += self.shares[leaf]
        return total / len(leaves)
