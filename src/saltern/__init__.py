"""Saltern: data and interatomic potentials for electrolyte solutions.

One campaign file goes in; labelled datasets, trained potentials, simulations and measured properties
come out. `saltern --help` lists the commands that the workflow calls.
"""

__version__ = "0.1.0"
