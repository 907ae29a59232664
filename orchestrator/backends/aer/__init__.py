"""Qiskit Aer: expectation values, adjoint gradients, processors' noise, the certificate's run."""
