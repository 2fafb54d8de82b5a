"""Running and resuming a campaign; nothing here imports Snakemake, which is a process of its own."""

from saltern.running.attempts import Attempt, Outcome, attempts
from saltern.running.plan import Plan
from saltern.running.run import run

__all__ = ["Attempt", "Outcome", "Plan", "attempts", "run"]
