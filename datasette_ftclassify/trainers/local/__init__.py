"""The local trainer: a text classifier from scikit-learn that predicts with numpy alone."""
