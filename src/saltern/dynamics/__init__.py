"""Molecular dynamics with a trained potential: simulations, and candidate frames for the next labels."""

from saltern.dynamics.relax import relax
from saltern.dynamics.sample import sample_with_potential
from saltern.dynamics.simulate import simulate

__all__ = ["relax", "sample_with_potential", "simulate"]
