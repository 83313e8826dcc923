"""OpenAI's Decisions API: closed questions, answered with a probability for each label."""
