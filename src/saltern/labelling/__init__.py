"""From candidate frames to labels that can be trusted, each with its provenance."""

from saltern.labelling.batch import label_batch
from saltern.labelling.converge import converge
from saltern.labelling.question import label_key, question_of

__all__ = ["converge", "label_batch", "label_key", "question_of"]
