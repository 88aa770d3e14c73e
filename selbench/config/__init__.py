"""Composing settings into runs and expanding grids: the one room that knows Hydra and OmegaConf."""
