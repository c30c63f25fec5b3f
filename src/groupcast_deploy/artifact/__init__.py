"""Builds the Lambda artifact, with `build` or with `python -m groupcast_deploy.artifact`."""

from groupcast_deploy.artifact.build import Artifact, build
from groupcast_deploy.artifact.errors import ArtifactError
from groupcast_deploy.artifact.target import ARCHITECTURES, RUNTIMES, Target

__all__ = ["ARCHITECTURES", "RUNTIMES", "Artifact", "ArtifactError", "Target", "build"]
