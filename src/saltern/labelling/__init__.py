"""From candidate frames to labels that can be trusted, each with its provenance."""

from saltern.labelling.batch import label_batch
from saltern.labelling.question import label_key

__all__ = ["label_batch", "label_key"]
