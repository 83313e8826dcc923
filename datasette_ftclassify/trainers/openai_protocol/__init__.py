"""Training and inference at servers that speak OpenAI's protocol: OpenAI itself, Azure, and others.

The SDK is imported by these modules alone, and they are imported when one of them is used.
"""
