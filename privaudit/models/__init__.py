"""The bundled models, and how a scenario names one of its own."""
