"""What a project needs around its lesson: devices, checkpoints, settings, progress. Skim it."""
