"""A candidate: a remedy under trial, and its arm with the first seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from photic.remedies.crew import Member
from photic.remedies.prescription import Prescription
from photic.remedies.registry import Remedy


@dataclass(eq=False)
class Candidate:
    """A remedy under trial: its place (cause first, smaller change first), and its arm with the first seed."""

    remedy: Remedy
    order: int
    arm: Member

    @property
    def prescription(self) -> Prescription:
        """What is carried out, with the learning rate that the range test found."""
        prescription = self.arm.prescription
        assert prescription is not None
        course = self.arm.course
        if course is None or not course.why:
            return prescription
        return replace(prescription, rate=course.rate, search_rate=False, why=course.why)
