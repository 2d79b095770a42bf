"""Data that is generated or comes with scikit-learn: nothing is downloaded."""
