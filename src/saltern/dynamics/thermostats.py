"""Thermostats: three ways to the canonical ensemble, all with the centre of mass at rest."""

from __future__ import annotations

import numpy as np

from saltern.dynamics.motion import Free, Motion, thermal_velocities
from saltern.frames import Array
from saltern.units import BOLTZMANN


class Bussi(Free):
    """Stochastic velocity rescaling; the relaxation time is that of the kinetic energy.

    G. Bussi, D. Donadio, M. Parrinello, J. Chem. Phys. 126, 014101 (2007), eqs. (A7) and (A8): the kinetic energy
    makes an exact step of its stochastic equation of motion.
    """

    def after(self, motion: Motion) -> None:
        """Rescale velocities for one time step."""
        state, kinetic = motion.state, motion.kinetic_energy
        normal = np.array([g.standard_normal() for g in state.generators])
        others = np.array([g.chisquare(motion.freedom - 1) for g in state.generators])
        kept = np.exp(-motion.timestep / motion.relaxation)
        fresh = (1 - kept) * BOLTZMANN * motion.temperatures / (2 * kinetic)
        squared = kept + fresh * (normal**2 + others) + 2 * normal * np.sqrt(kept * fresh)
        factor = np.copysign(np.sqrt(squared), normal + np.sqrt(kept / fresh))
        state.velocities = factor[:, None, None] * state.velocities
        state.heat = state.heat + (squared - 1) * kinetic


class Langevin(Free):
    """Langevin dynamics; the relaxation time is the inverse of the friction, in which velocities are forgotten.

    B. Leimkuhler, C. Matthews, Appl. Math. Res. Express 2013, 34 (2013), method BAOAB: positions are sampled to a
    higher order of the time step than velocities, and exactly in a harmonic potential. The noise leaves the centre
    of mass at rest.
    """

    def drift(self, motion: Motion) -> None:
        """Half a drift, an exact step of friction and noise, half a drift."""
        state, before = motion.state, motion.kinetic_energy
        kept = np.exp(-motion.timestep / motion.relaxation)
        weights = motion.inertia
        noise = np.stack(
            [thermal_velocities(weights, t, g) for t, g in zip(motion.temperatures, state.generators, strict=True)]
        )
        half = motion.timestep / 2
        positions = state.positions + half * state.velocities
        state.velocities = kept * state.velocities + np.sqrt(1 - kept**2) * noise
        state.positions = positions + half * state.velocities
        state.heat = state.heat + motion.kinetic_energy - before


class NoseHoover(Free):
    """A chain of Nosé-Hoover thermostats; the relaxation time sets their masses, f k T τ² and k T τ².

    G. J. Martyna, M. E. Tuckerman, D. J. Tobias, M. L. Klein, Mol. Phys. 87, 1117 (1996), section 2: deterministic
    and reversible. The heat is minus the energy of the chain, so that what is conserved is the extended energy.
    """

    links = 3

    def before(self, motion: Motion) -> None:
        """Half a time step of the chain."""
        state, half = motion.state, motion.timestep / 2
        thermal = BOLTZMANN * motion.temperatures[:, None]
        # f k T for the first link, k T for the others
        shares = thermal * np.array([motion.freedom, *[1] * (self.links - 1)])
        masses = shares * motion.relaxation**2
        place, speed = state.bath[:, 0].copy(), state.bath[:, 1].copy()
        doubled = 2 * motion.kinetic_energy
        for link in reversed(range(self.links)):
            self._push(speed, link, doubled, shares, masses, half / 2)
        factor = np.exp(-half * speed[:, 0])
        place += half * speed
        for link in range(self.links):
            self._push(speed, link, doubled * factor**2, shares, masses, half / 2)
        state.velocities = factor[:, None, None] * state.velocities
        state.bath = np.stack([place, speed], axis=1)
        state.heat = -(0.5 * masses * speed**2 + shares * place).sum(axis=1)

    after = before

    def _push(self, speed: Array, link: int, doubled: Array, shares: Array, masses: Array, time: float) -> None:
        """Accelerate one link by twice the kinetic energy before it, damped by the link behind it."""
        damping = np.exp(-time / 2 * speed[:, link + 1]) if link + 1 < self.links else 1.0
        energy = masses[:, link - 1] * speed[:, link - 1] ** 2 if link else doubled
        pull = (energy - shares[:, link]) / masses[:, link]
        speed[:, link] = (speed[:, link] * damping + time * pull) * damping


THERMOSTATS: dict[str, Free] = {"bussi": Bussi(), "langevin": Langevin(), "nose-hoover": NoseHoover()}
"""By their name in the campaign."""
