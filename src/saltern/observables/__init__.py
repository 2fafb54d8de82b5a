"""Observables: arrays in, arrays out, each number with a standard error."""

from saltern.observables.blocking import Estimate, block_means, estimate, pooled
from saltern.observables.conservation import energy_drift, kinetic_temperature
from saltern.observables.coordination import Coordination, coordination_number, first_peak, first_shell
from saltern.observables.diffusion import Diffusion, diffusion, finite_size_correction, water_viscosity
from saltern.observables.measure import MEASURED, measure
from saltern.observables.outside import outside
from saltern.observables.pmf import MeanForce, bjerrum_length, mean_force
from saltern.observables.rdf import RadialDistribution, radial_distribution
from saltern.observables.trajectory import Trajectory, perpendicular_widths

__all__ = [
    "MEASURED",
    "Coordination",
    "Diffusion",
    "Estimate",
    "MeanForce",
    "RadialDistribution",
    "Trajectory",
    "bjerrum_length",
    "block_means",
    "coordination_number",
    "diffusion",
    "energy_drift",
    "estimate",
    "finite_size_correction",
    "first_peak",
    "first_shell",
    "kinetic_temperature",
    "mean_force",
    "measure",
    "outside",
    "perpendicular_widths",
    "pooled",
    "radial_distribution",
    "water_viscosity",
]
