"""Packages the service for AWS: the artifact, and the plugin that derives roles and limits."""
