"""The repository of the tutorials by boto3: on ECR Public, or on whatever AWS_ENDPOINT_URL_ECR_PUBLIC names.

On `modelkeep serve` it is IMMUTABLE. On ECR Public, which has no such property, every tag may move.
"""

import boto3

ecr = boto3.client("ecr-public", region_name="us-east-1")
try:
    repository = ecr.create_repository(repositoryName="ml-model-repo")["repository"]
except ecr.exceptions.RepositoryAlreadyExistsException:
    (repository,) = ecr.describe_repositories(repositoryNames=["ml-model-repo"])["repositories"]

print("repository_uri:", repository["repositoryUri"])
