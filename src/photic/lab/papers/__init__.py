"""The papers: one file each, found by `photic.lab.claims`; adding a paper is adding its file."""
