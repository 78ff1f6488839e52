"""The repository of the tutorials, as Pulumi can make it.

The tutorials pass image_tag_mutability="IMMUTABLE" as well. ECR Public has no such property and the class no such
argument: the program ends in a TypeError before it makes anything. Without it, every tag may move.
"""

import pulumi
import pulumi_aws as aws

ml_model_repo = aws.ecrpublic.Repository("mlModelRepo", repository_name="ml-model-repo")

pulumi.export("repository_uri", ml_model_repo.repository_uri)
