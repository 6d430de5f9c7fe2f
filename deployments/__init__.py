"""What a Prefect server is told about this program: deployments, limits, automations, as data."""
