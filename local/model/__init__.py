"""A real model for the local endpoint: trained on the spot, served by the real Azure ML inference server."""

EXAMPLE = [[5.1, 3.5, 1.4, 0.2]]
"""An iris: sepal length and width, petal length and width in cm. The model fails on a row of another length."""
