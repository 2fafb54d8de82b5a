"""Observables: arrays in, arrays out, each number with a standard error."""

from saltern.observables.audit import (
    AUDITED,
    Findings,
    contact_of,
    frame_environments,
    has_crystal,
    planted,
)
from saltern.observables.blocking import Estimate, block_means, estimate, pooled
from saltern.observables.conservation import energy_drift, kinetic_temperature
from saltern.observables.coordination import Coordination, coordination_number, first_peak, first_shell
from saltern.observables.crystal import CRYSTAL, Order, first_lasting, octahedral, order, solid_cluster
from saltern.observables.diffusion import Diffusion, diffusion, finite_size_correction, water_viscosity
from saltern.observables.environments import Known, TrainingEnvironments, environments
from saltern.observables.lattice import lattice_name
from saltern.observables.measure import MEASURED, measure
from saltern.observables.nucleation import Crystallisation, contact_distance, crystallisation, waiting_time
from saltern.observables.outside import new_environments, outside
from saltern.observables.pmf import MeanForce, bjerrum_length, mean_force
from saltern.observables.rdf import RadialDistribution, radial_distribution
from saltern.observables.scattering import Peak, peaks, structure_factors
from saltern.observables.trajectory import Trajectory, effective, perpendicular_widths, unordered

__all__ = [
    "AUDITED",
    "CRYSTAL",
    "MEASURED",
    "Coordination",
    "Crystallisation",
    "Diffusion",
    "Estimate",
    "Findings",
    "Known",
    "MeanForce",
    "Order",
    "Peak",
    "RadialDistribution",
    "TrainingEnvironments",
    "Trajectory",
    "bjerrum_length",
    "block_means",
    "contact_distance",
    "contact_of",
    "coordination_number",
    "crystallisation",
    "diffusion",
    "effective",
    "energy_drift",
    "environments",
    "estimate",
    "finite_size_correction",
    "first_lasting",
    "first_peak",
    "first_shell",
    "frame_environments",
    "has_crystal",
    "kinetic_temperature",
    "lattice_name",
    "mean_force",
    "measure",
    "new_environments",
    "octahedral",
    "order",
    "outside",
    "peaks",
    "perpendicular_widths",
    "planted",
    "pooled",
    "radial_distribution",
    "solid_cluster",
    "structure_factors",
    "unordered",
    "waiting_time",
    "water_viscosity",
]
