"""Qiskit Aer: expectation values, adjoint gradients, noise of processors, evaluation for certificates."""
