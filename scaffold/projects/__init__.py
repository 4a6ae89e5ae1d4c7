"""Make: templates, the plan for a machine, and the generated project."""
