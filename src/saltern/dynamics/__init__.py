"""Molecular dynamics: of a student, with a committee that watches, and of a teacher that moves."""

from saltern.dynamics.harvest import harvest, solute
from saltern.dynamics.sample import sample_with_potential
from saltern.dynamics.simulate import Simulation, simulate

__all__ = ["Simulation", "harvest", "sample_with_potential", "simulate", "solute"]
