"""What a client library or TensorFlow needs in its environment, to use a connection without Lighterman."""

from lighterman.environments.environment import Environment, environment_of
from lighterman.environments.formats import printed

__all__ = ["Environment", "environment_of", "printed"]
