"""Contractive autoencoders of first and second order (paper, Application II, Fig. 6, Table 1)."""

from hodsim.derivatives import hessian_diagonal_norm2, jacobian_norm2
from hodsim.learning.contractive.classify import Classified, Classifier, classify
from hodsim.learning.contractive.measured import Measured, Measures, Tried
from hodsim.learning.contractive.methods import METHODS, Method, Noise, methods_of
from hodsim.learning.contractive.networks import Autoencoder, Shape, counted, drawn
from hodsim.learning.contractive.penalties import hessian_norm2, stochastic_hessian_norm2
from hodsim.learning.contractive.ratio import RADII, Ratio, contractive_ratio
from hodsim.learning.contractive.runs import Job, Trained, reconstruction, train
from hodsim.learning.contractive.store import Store
from hodsim.learning.contractive.studies import Plan, Result, Study, study

__all__ = [
    "METHODS",
    "RADII",
    "Autoencoder",
    "Classified",
    "Classifier",
    "Job",
    "Measured",
    "Measures",
    "Method",
    "Noise",
    "Plan",
    "Ratio",
    "Result",
    "Shape",
    "Store",
    "Study",
    "Trained",
    "Tried",
    "classify",
    "contractive_ratio",
    "counted",
    "drawn",
    "hessian_diagonal_norm2",
    "hessian_norm2",
    "jacobian_norm2",
    "methods_of",
    "reconstruction",
    "stochastic_hessian_norm2",
    "study",
    "train",
]
