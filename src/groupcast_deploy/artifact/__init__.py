"""The Lambda artifact: `build` makes it, `python -m groupcast_deploy.artifact` is its command line."""

from groupcast_deploy.artifact.build import Artifact, build
from groupcast_deploy.artifact.errors import ArtifactError
from groupcast_deploy.artifact.target import ARCHITECTURES, RUNTIMES, Target

__all__ = ["ARCHITECTURES", "RUNTIMES", "Artifact", "ArtifactError", "Target", "build"]
