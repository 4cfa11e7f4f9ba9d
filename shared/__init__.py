"""Groupgate: only members of chosen Microsoft Entra groups may call a model, and the owner can prove it."""
