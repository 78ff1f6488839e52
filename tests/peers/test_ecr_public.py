"""boto3 and the AWS CLI on the ECR Public API of `modelkeep serve`."""

import base64
import datetime
import hashlib
import json
import os
import re
import unittest.mock

from aws import (
    ACCOUNT, AWS, KEY, MODEL, READER, READERS_SECRET, SECRET, UNSIGNED, Config, Seen, WithAws, boto3, client, pipe,
)  # fmt: skip
from engines import Dockerd
from kept import MIB

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
NOWHERE = "sha256:" + "0" * 64
REPOSITORY = "team/model"
ARN = f"arn:aws:ecr-public::{ACCOUNT}:repository/{REPOSITORY}"

# Errors of the model that nothing can bring about here: docs/reference/ecr-public.md says why.
NEVER = {
    ("CreateRepository", "LimitExceededException"),
    ("DescribeRegistries", "ServerException"),
    ("GetAuthorizationToken", "InvalidParameterException"),
    ("GetAuthorizationToken", "ServerException"),
    ("PutImage", "LimitExceededException"),
    ("UntagResource", "TooManyTagsException"),
}


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def image(*layers, mark=""):
    """A manifest over blobs of `{}` and so on."""
    blobs = [{"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b), "size": len(b)} for b in layers]
    return json.dumps({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blobs[0],
        "layers": blobs[1:],
        "annotations": {"mark": mark},
    })


def index(digest, size):
    manifests = [{"mediaType": MANIFEST, "digest": digest, "size": size}]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


def put_layer(ecr, data, repository=REPOSITORY, part=10 * MIB):
    upload = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    for first in range(0, len(data), part):
        piece = data[first : first + part]
        last = first + len(piece) - 1
        answer = ecr.upload_layer_part(
            repositoryName=repository, uploadId=upload, partFirstByte=first, partLastByte=last, layerPartBlob=piece
        )
        assert answer["lastByteReceived"] == last, answer
    done = ecr.complete_layer_upload(repositoryName=repository, uploadId=upload, layerDigests=[digest_of(data)])
    assert done["layerDigest"] == digest_of(data), done
    return upload


class EveryOperation(WithAws):
    def test_boto3_sees_success_and_every_documented_error_of_every_operation(self):
        self.seen = Seen()
        self.server = self.keyed()
        self.ecr = client(self.server, self.seen)
        # Sends what it knows to be wrong, so that the server has to say so.
        self.loose = client(self.server, self.seen, checked=False)
        self.repositories()
        self.catalog_data()
        self.policies()
        self.resource_tags()
        self.registries()
        self.layers()
        self.images()
        self.deletions()
        self.elsewhere()
        self.nothing_there()
        self.damaged()
        missing = set()
        for name in MODEL.operation_names:
            expected = {"success"} | {shape.name for shape in MODEL.operation_model(name).error_shapes}
            missing |= {(name, outcome) for outcome in expected - self.seen.outcomes[name]}
        self.assertEqual(missing, NEVER)

    def invalid(self, call, **parameters):
        self.refused("InvalidParameterException", call, **parameters)

    def repositories(self):
        ecr = self.ecr
        made = ecr.create_repository(
            repositoryName=REPOSITORY, catalogData={"description": "Digits"}, tags=[{"Key": "team", "Value": "a"}]
        )
        self.assertEqual(made["repository"]["repositoryUri"], f"{self.server.host}/{REPOSITORY}")
        self.assertEqual(made["repository"]["repositoryArn"], ARN)
        self.assertEqual(made["catalogData"]["description"], "Digits")
        self.refused("RepositoryAlreadyExistsException", ecr.create_repository, repositoryName=REPOSITORY)
        for name in ("a", "A/b", "a//b", "a__b", "a" * 206):
            self.invalid(self.loose.create_repository, repositoryName=name)
        self.invalid(self.loose.create_repository)
        other = {"repositoryName": "team/other"}
        for wrong in ({"description": "x" * 1025}, {"aboutText": "x" * 25_601}, {"usageText": "x" * 25_601},
                      {"architectures": [str(n) for n in range(51)]}, {"operatingSystems": ["x" * 51]},
                      {"logoImageBlob": b"x" * 512_001}):  # fmt: skip
            self.invalid(self.loose.create_repository, catalogData=wrong, **other)
        tags = [{"Key": str(n), "Value": ""} for n in range(51)]
        self.refused("TooManyTagsException", ecr.create_repository, tags=tags, **other)
        for wrong in ({"Key": "aws:x", "Value": ""}, {"Key": "x" * 129, "Value": ""}, {"Key": "x", "Value": "x" * 257}):
            self.refused("InvalidTagParameterException", self.loose.create_repository, tags=[wrong], **other)
        twice = [{"Key": "x", "Value": "1"}, {"Key": "x", "Value": "2"}]
        self.refused("InvalidTagParameterException", ecr.create_repository, tags=twice, **other)
        logo = b"\x89PNG" + os.urandom(512_000 - 4)
        shown = ecr.create_repository(tags=tags[:50], catalogData={"logoImageBlob": logo}, **other)["catalogData"]
        self.assertEqual(shown["logoUrl"], f"{self.server.url}/logos/team/other")
        token = ecr.get_authorization_token()["authorizationData"]["authorizationToken"]
        authorized = {"Authorization": f"Bearer {token}"}
        status, headers, body = self.server.request("GET", "/logos/team/other", headers=authorized)
        self.assertEqual((status, headers["Content-Type"], body), (200, "image/png", logo))
        self.assertEqual(self.server.request("GET", "/logos/team/other")[0], 401)
        self.assertEqual(self.server.request("GET", "/logos/team/third", headers=authorized)[0], 404)
        ecr.create_repository(repositoryName="team/third")
        listed = [one["repositoryName"] for one in ecr.describe_repositories()["repositories"]]
        self.assertEqual(listed, [REPOSITORY, "team/other", "team/third"])
        pages = ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 2})
        self.assertEqual([len(page["repositories"]) for page in pages], [2, 1])
        found = ecr.describe_repositories(repositoryNames=["team/third", REPOSITORY])["repositories"]
        self.assertEqual([one["repositoryName"] for one in found], ["team/third", REPOSITORY])
        self.invalid(self.loose.describe_repositories, maxResults=1001)
        self.invalid(self.loose.describe_repositories, maxResults=0)
        self.invalid(ecr.describe_repositories, nextToken="what is this?")
        self.invalid(ecr.describe_repositories, repositoryNames=[REPOSITORY], maxResults=5)

    def catalog_data(self):
        ecr = self.ecr
        everything = {
            "description": "d" * 1024, "aboutText": "ü" * 25_600, "usageText": "\\\"\n" * 8533,
            "architectures": ["ARM 64", "x86-64"], "operatingSystems": ["Linux"],
        }  # fmt: skip
        put = ecr.put_repository_catalog_data(repositoryName=REPOSITORY, catalogData=everything)["catalogData"]
        self.assertEqual(put, everything | {"marketplaceCertified": False})
        self.assertEqual(ecr.get_repository_catalog_data(repositoryName=REPOSITORY)["catalogData"], put)
        self.refused(
            "RepositoryCatalogDataNotFoundException", ecr.get_repository_catalog_data, repositoryName="team/third"
        )
        wrong = {"repositoryName": REPOSITORY, "catalogData": {"description": "d" * 1025}}
        self.invalid(self.loose.put_repository_catalog_data, **wrong)
        self.invalid(self.loose.get_repository_catalog_data, repositoryName="-")

    def policies(self):
        ecr, here = self.ecr, {"repositoryName": REPOSITORY}
        for call in (ecr.get_repository_policy, ecr.delete_repository_policy):
            self.refused("RepositoryPolicyNotFoundException", call, **here)
            self.invalid(call, repositoryName="NO")
        policy = json.dumps({"Version": "2008-10-17", "Statement": []})
        self.assertEqual(ecr.set_repository_policy(policyText=policy, **here)["policyText"], policy)
        self.assertEqual(ecr.get_repository_policy(**here)["policyText"], policy)
        for wrong in ("", "no JSON", "[]", json.dumps({"x": "x" * 10_240})):
            self.invalid(self.loose.set_repository_policy, policyText=wrong, **here)
        self.assertEqual(ecr.delete_repository_policy(**here)["policyText"], policy)

    def resource_tags(self):
        ecr, here = self.ecr, {"resourceArn": ARN}
        ecr.tag_resource(tags=[{"Key": "team", "Value": "b"}, {"Key": "é", "Value": ""}], **here)
        ecr.untag_resource(tagKeys=["é", "none"], **here)
        self.assertEqual(ecr.list_tags_for_resource(**here)["tags"], [{"Key": "team", "Value": "b"}])
        many = [{"Key": str(n), "Value": ""} for n in range(50)]
        self.refused("TooManyTagsException", ecr.tag_resource, tags=many, **here)
        self.refused("InvalidTagParameterException", self.loose.tag_resource, tags=[{"Key": "", "Value": ""}], **here)
        self.refused("InvalidTagParameterException", self.loose.untag_resource, tagKeys=["x" * 129], **here)
        for arn in ("arn", f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/a", ARN.replace(ACCOUNT, "1"), f"{ARN}/"):
            self.invalid(ecr.list_tags_for_resource, resourceArn=arn)
            self.invalid(ecr.tag_resource, resourceArn=arn, tags=[])
            self.invalid(ecr.untag_resource, resourceArn=arn, tagKeys=[])
        self.assertEqual(len(ecr.list_tags_for_resource(**here)["tags"]), 1)

    def registries(self):
        ecr = self.ecr
        (registry,) = ecr.describe_registries()["registries"]
        self.assertEqual((registry["registryId"], registry["registryUri"]), (ACCOUNT, self.server.host))
        self.invalid(self.loose.describe_registries, maxResults=0)
        self.assertEqual(ecr.get_registry_catalog_data()["registryCatalogData"], {})
        ecr.put_registry_catalog_data(displayName="Models")
        self.assertEqual(ecr.get_registry_catalog_data()["registryCatalogData"], {"displayName": "Models"})
        self.invalid(self.loose.put_registry_catalog_data, displayName="x" * 101)
        data = ecr.get_authorization_token()["authorizationData"]
        name, password = base64.b64decode(data["authorizationToken"]).decode().split(":", 1)
        self.assertEqual(name, "AWS")
        self.assertNotIn(":", password)

    def layers(self):
        ecr, here = self.ecr, {"repositoryName": REPOSITORY}
        put_layer(ecr, b"{}")
        self.large = os.urandom(20_971_520) + b"the last part may be small"
        put_layer(ecr, self.large, part=20_971_520)
        asked = [digest_of(b"{}"), NOWHERE, "", "nonsense"]
        checked = ecr.batch_check_layer_availability(layerDigests=asked, **here)
        found = [(layer["layerAvailability"], layer.get("layerSize")) for layer in checked["layers"]]
        self.assertEqual(found, [("AVAILABLE", 2), ("UNAVAILABLE", None)])
        codes = [failure["failureCode"] for failure in checked["failures"]]
        self.assertEqual(codes, ["MissingLayerDigest", "InvalidLayerDigest"])
        self.invalid(self.loose.batch_check_layer_availability, layerDigests=[], **here)
        self.invalid(self.loose.batch_check_layer_availability, layerDigests=[NOWHERE] * 101, **here)
        self.invalid(self.loose.initiate_layer_upload, repositoryName="NO")

        begun = ecr.initiate_layer_upload(**here)["uploadId"]
        upload = {"uploadId": begun, **here}
        digest = {"layerDigests": [digest_of(b"0123456789")]}

        def part(first, blob, by=ecr.upload_layer_part, **more):
            last = first + len(blob) - 1
            return by(**{**upload, "partFirstByte": first, "partLastByte": last, "layerPartBlob": blob, **more})

        self.refused("EmptyUploadException", ecr.complete_layer_upload, **upload, **digest)
        part(0, b"01234")
        for wrong in ({"first": 6}, {"first": 0}, {"first": 5, "partLastByte": 8}, {"first": 5, "partLastByte": 4}):
            error = self.refused("InvalidLayerPartException", lambda **p: part(blob=b"x" * 5, **p), **wrong)
            self.assertEqual((error["lastValidByteReceived"], error["uploadId"]), (4, begun))
        self.refused("LimitExceededException", part, first=10_485_760_000, blob=b"x")
        self.invalid(part, first=5, blob=b"x" * 20_971_521, by=self.loose.upload_layer_part)
        nobodys = self.CALLS["UploadLayerPart"]["uploadId"]
        self.refused("UploadNotFoundException", part, first=5, blob=b"x", uploadId=nobodys)
        self.invalid(part, first=5, blob=b"x", uploadId="nonsense")
        part(5, b"56789")
        self.refused("LayerPartTooSmallException", ecr.complete_layer_upload, **upload, **digest)

        upload["uploadId"] = ecr.initiate_layer_upload(**here)["uploadId"]
        part(0, b"other bytes")
        self.invalid(ecr.complete_layer_upload, layerDigests=["nonsense:00"], **upload)
        self.refused("InvalidLayerException", ecr.complete_layer_upload, **upload, **digest)
        self.refused("UploadNotFoundException", ecr.complete_layer_upload, **upload, **digest)
        upload["uploadId"] = ecr.initiate_layer_upload(**here)["uploadId"]
        part(0, b"{}")
        again = {"layerDigests": [digest_of(b"{}")]}
        self.refused("LayerAlreadyExistsException", ecr.complete_layer_upload, **upload, **again)

    def images(self):
        ecr, here = self.ecr, {"repositoryName": REPOSITORY}
        self.first, self.second = image(b"{}", self.large), image(b"{}", mark="second")
        self.digest = digest_of(self.first.encode())
        put = ecr.put_image(imageManifest=self.first, imageTag="1.0", imageDigest=self.digest, **here)["image"]
        self.assertEqual(put["imageId"], {"imageDigest": self.digest, "imageTag": "1.0"})
        self.assertEqual(put["imageManifest"], self.first)
        self.assertEqual(put["imageManifestMediaType"], MANIFEST)
        first = {"imageManifest": self.first, "imageTag": "1.0", **here}
        again = self.refused("ImageAlreadyExistsException", ecr.put_image, **first)
        self.assertIn("'1.0'", again["message"])
        self.refused("ImageAlreadyExistsException", ecr.put_image, imageManifest=self.first, **here)
        second = {"imageManifest": self.second, "imageTag": "1.0", **here}
        held = self.refused("ImageTagAlreadyExistsException", ecr.put_image, **second)
        self.assertIn("the next free version is 1.1", held["message"])
        ecr.put_image(imageManifest=self.first, imageTag="1.1", **here)
        wrong = {"imageManifest": self.second, "imageDigest": NOWHERE}
        self.refused("ImageDigestDoesNotMatchException", ecr.put_image, **wrong, **here)
        self.refused("LayersNotFoundException", ecr.put_image, imageManifest=image(b"elsewhere"), **here)
        self.refused("ReferencedImagesNotFoundException", ecr.put_image, imageManifest=index(NOWHERE, 2), **here)
        for manifest, more in (("", {}), ("no JSON", {}), ("{}", {}), (self.second, {"imageManifestMediaType": INDEX}),
                               (self.second, {"imageTag": "a b"}), (self.second, {"imageTag": "x" * 301})):  # fmt: skip
            self.invalid(self.loose.put_image, imageManifest=manifest, **more, **here)
        # All of JSON's escapes, and near to the most that a manifest may have.
        long = image(b"{}", mark='\\"/\n\t\u00e9\U0001f600')
        long = long[:-1] + " " * (4_194_304 - len(long)) + "}"
        ecr.put_image(imageManifest=long, imageTag="long", **here)
        self.invalid(self.loose.put_image, imageManifest=long + " ", imageTag="longer", **here)
        self.index = index(self.digest, len(self.first))
        ecr.put_image(imageManifest=self.index, imageTag="all", **here)

        listed = {one["imageDigest"]: one for one in ecr.describe_images(**here)["imageDetails"]}
        self.assertEqual(len(listed), 3)
        found = listed[self.digest]
        self.assertEqual(found["imageTags"], ["1.0", "1.1"])
        self.assertEqual(found["imageSizeInBytes"], 2 + len(self.large))
        self.assertEqual(listed[digest_of(self.index.encode())]["imageSizeInBytes"], 2 + len(self.large))
        self.assertEqual(ecr.describe_images(imageIds=[{"imageTag": "1.1"}], **here)["imageDetails"], [found])
        both = [{"imageTag": "1.0", "imageDigest": self.digest}, {"imageDigest": self.digest}]
        self.assertEqual(ecr.describe_images(imageIds=both, **here)["imageDetails"], [found])
        for wrong in ({"imageTag": "2.0"}, {"imageDigest": NOWHERE}, {"imageTag": "long", "imageDigest": self.digest}):
            self.refused("ImageNotFoundException", ecr.describe_images, imageIds=[wrong], **here)
        self.invalid(ecr.describe_images, imageIds=[{}], **here)
        self.invalid(ecr.describe_images, imageIds=[{"imageTag": "1.0"}], maxResults=1, **here)
        pages = list(ecr.get_paginator("describe_images").paginate(PaginationConfig={"PageSize": 2}, **here))
        self.assertEqual([len(page["imageDetails"]) for page in pages], [2, 1])
        tags = ecr.describe_image_tags(**here)["imageTagDetails"]
        self.assertEqual([tag["imageTag"] for tag in tags], ["1.0", "1.1", "all", "long"])
        self.assertEqual(tags[0]["imageDetail"]["imageDigest"], self.digest)
        pages = list(ecr.get_paginator("describe_image_tags").paginate(PaginationConfig={"PageSize": 3}, **here))
        self.assertEqual([len(page["imageTagDetails"]) for page in pages], [3, 1])
        self.invalid(self.loose.describe_image_tags, maxResults=2000, **here)
        # The history knows what came by this way too, and by whom.
        (version,) = [one for one in self.versions(REPOSITORY) if one["version"] == "1.0"]
        self.assertEqual((version["digest"], version["author"]), (self.digest, "ada"))

    def deletions(self):
        ecr, here = self.ecr, {"repositoryName": REPOSITORY}
        wanted = [
            {"imageTag": "none"}, {"imageDigest": NOWHERE}, {"imageDigest": "x"}, {"imageTag": "a b"}, {},
            {"imageTag": "long", "imageDigest": self.digest}, {"imageDigest": self.digest},
        ]  # fmt: skip
        failures = self.loose.batch_delete_image(imageIds=wanted, **here)["failures"]
        self.assertEqual([failure["imageId"] for failure in failures], wanted)
        self.assertEqual([failure["failureCode"] for failure in failures], [
            "ImageNotFound", "ImageNotFound", "InvalidImageDigest", "InvalidImageTag", "MissingDigestAndTag",
            "ImageTagDoesNotMatchDigest", "ImageReferencedByManifestList",
        ])  # fmt: skip
        # The last tag takes the image with it, and no other does.
        gone = ecr.batch_delete_image(imageIds=[{"imageTag": "1.1"}, {"imageTag": "1.0"}], **here)
        self.assertEqual(gone["imageIds"], [{"imageDigest": self.digest, "imageTag": "1.1"}])
        self.assertEqual(gone["failures"][0]["failureCode"], "ImageReferencedByManifestList")
        of_index = digest_of(self.index.encode())
        gone = ecr.batch_delete_image(imageIds=[{"imageDigest": of_index}, {"imageTag": "1.0"}], **here)
        self.assertEqual(gone["failures"], [])
        self.assertEqual(gone["imageIds"], [
            {"imageDigest": of_index, "imageTag": "all"}, {"imageDigest": self.digest, "imageTag": "1.0"},
        ])  # fmt: skip
        self.assertEqual(len(ecr.describe_images(**here)["imageDetails"]), 1)
        # A version that was immutable can be given back to what it was, and to nothing else.
        self.refused("ImageTagAlreadyExistsException", ecr.put_image, imageManifest=self.second, imageTag="1.0", **here)
        ecr.put_image(imageManifest=self.first, imageTag="1.0", **here)
        self.invalid(self.loose.batch_delete_image, imageIds=[], **here)
        self.refused("RepositoryNotEmptyException", ecr.delete_repository, **here)
        another = {"registryId": "123456789012", **here}
        self.refused("RepositoryNotFoundException", ecr.delete_repository, force=True, **another)
        deleted = ecr.delete_repository(registryId=ACCOUNT, force=True, **here)
        self.assertEqual(deleted["repository"]["repositoryName"], REPOSITORY)
        ecr.delete_repository(repositoryName="team/third")
        self.invalid(self.loose.delete_repository, repositoryName="?")
        # The history outlives its repository.
        ecr.create_repository(**here)
        put_layer(ecr, b"{}")
        self.refused("ImageTagAlreadyExistsException", ecr.put_image, imageManifest=self.second, imageTag="1.0", **here)

    CALLS = {
        "BatchCheckLayerAvailability": {"layerDigests": [NOWHERE]},
        "BatchDeleteImage": {"imageIds": [{"imageTag": "1.0"}]},
        "CompleteLayerUpload": {"uploadId": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "layerDigests": [NOWHERE]},
        "DeleteRepository": {},
        "DeleteRepositoryPolicy": {},
        "DescribeImageTags": {},
        "DescribeImages": {},
        "GetRepositoryCatalogData": {},
        "GetRepositoryPolicy": {},
        "InitiateLayerUpload": {},
        "PutImage": {"imageManifest": image(b"{}")},
        "PutRepositoryCatalogData": {"catalogData": {}},
        "SetRepositoryPolicy": {"policyText": "{}"},
        "UploadLayerPart": {
            "uploadId": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "partFirstByte": 0, "partLastByte": 0,
            "layerPartBlob": b"x",
        },
    }  # fmt: skip
    OF_RESOURCE = {"TagResource": {"tags": []}, "UntagResource": {"tagKeys": []}, "ListTagsForResource": {}}
    OF_REGISTRY = {
        "CreateRepository": {"repositoryName": "team/new"}, "DescribeRegistries": {}, "DescribeRepositories": {},
        "GetAuthorizationToken": {}, "GetRegistryCatalogData": {}, "PutRegistryCatalogData": {},
    }  # fmt: skip

    def elsewhere(self):
        """ECR Public is in one region, and says so to whoever asks in another."""
        calls = {
            **self.OF_REGISTRY,
            **{name: {"repositoryName": REPOSITORY, **more} for name, more in self.CALLS.items()},
            **{name: {"resourceArn": ARN, **more} for name, more in self.OF_RESOURCE.items()},
        }
        self.assertEqual(set(calls), set(MODEL.operation_names))
        other = client(self.server, self.seen, region="us-west-2")
        for name, parameters in calls.items():
            self.refused("UnsupportedCommandException", self.call(other, name), **parameters)

    def call(self, ecr, name):
        return lambda **parameters: ecr._make_api_call(name, parameters)

    def nothing_there(self):
        for name, more in self.CALLS.items():
            self.refused("RepositoryNotFoundException", self.call(self.ecr, name), repositoryName="no/such", **more)
        for name, more in self.OF_RESOURCE.items():
            for arn in (f"arn:aws:ecr-public::{ACCOUNT}:repository/no/such", ARN.replace(ACCOUNT, "123456789012")):
                self.refused("RepositoryNotFoundException", self.call(self.ecr, name), resourceArn=arn, **more)
        self.refused("RepositoryNotFoundException", self.ecr.describe_repositories, repositoryNames=["no/such"])
        for name in MODEL.operation_names:
            if "RegistryNotFoundException" in {shape.name for shape in MODEL.operation_model(name).error_shapes}:
                more = {"registryId": "another", "repositoryName": REPOSITORY, **self.CALLS[name]}
                self.refused("RegistryNotFoundException", self.call(self.ecr, name), **more)

    def damaged(self):
        """What is broken within is the server's own error, of which clients hear nothing but that."""
        (self.store.home / ".registry-catalog-data").write_text("no JSON")
        (self.store.home / "v1/repos/team/model/_repository").write_text("no JSON")
        here = {"repositoryName": REPOSITORY}
        for name, more in self.CALLS.items():
            error = self.refused("ServerException", self.call(self.ecr, name), **here, **more)
            self.assertNotIn("repos", json.dumps(error["Error"]))
        for name, more in self.OF_RESOURCE.items():
            self.refused("ServerException", self.call(self.ecr, name), resourceArn=ARN, **more)
        self.refused("ServerException", self.ecr.create_repository, **here)
        self.refused("ServerException", self.ecr.describe_repositories)
        self.refused("ServerException", self.ecr.get_registry_catalog_data)
        (self.store.home / ".registry-catalog-data").unlink()
        (self.store.home / ".registry-catalog-data").mkdir()
        self.refused("ServerException", self.ecr.put_registry_catalog_data)


class Signatures(WithAws):
    def test_only_the_secret_of_a_configured_key_signs(self):
        server = self.keyed()
        client(server).describe_registries()
        for key, secret, code in (
            (KEY, SECRET + "x", "InvalidSignatureException"),
            (KEY, READERS_SECRET, "InvalidSignatureException"),
            ("AKIDNOBODY", SECRET, "UnrecognizedClientException"),
        ):
            self.refused(code, client(server, Seen(), key=key, secret=secret).describe_registries)
        unsigned = boto3.client(
            "ecr-public", endpoint_url=server.url, region_name="us-east-1", config=Config(signature_version=UNSIGNED)
        )
        self.refused("MissingAuthenticationTokenException", Seen().watch(unsigned).describe_registries)

    def test_what_was_changed_on_its_way_is_refused(self):
        server = self.keyed()

        def spoiled(change):
            ecr = client(server, Seen())
            ecr.meta.events.register("before-send.ecr-public", lambda request, **_: change(request))
            return ecr.describe_registries

        def header(name, value):
            def change(request):
                request.headers[name] = value
            return change

        def body(request):
            request.body = b'{"maxResults": 7}'
            request.headers["Content-Length"] = str(len(request.body))

        def earlier(request):
            request.headers["X-Amz-Date"] = "20200101T000000Z"

        def cut(request):
            said = request.headers["Authorization"]
            request.headers["Authorization"] = (said.decode() if isinstance(said, bytes) else said).rsplit(",", 1)[0]

        target = "SpencerFrontendService.GetAuthorizationToken"
        for change in (body, earlier, header("X-Amz-Target", target), header("X-Amz-Security-Token", "x")):
            self.refused("InvalidSignatureException", spoiled(change))
        self.refused("IncompleteSignatureException", spoiled(cut))
        self.refused("UnknownOperationException", spoiled(header("X-Amz-Target", "SpencerFrontendService.NoSuch")))

    def test_a_clock_that_is_more_than_a_quarter_of_an_hour_off_is_told_so(self):
        server = self.keyed()
        for minutes, good in ((-14, True), (14, True), (-16, False), (16, False)):
            then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
            clock = unittest.mock.Mock(return_value=then.replace(tzinfo=None))
            with unittest.mock.patch("botocore.auth.get_current_datetime", clock):
                call = client(server, Seen()).describe_registries
                if good:
                    call()
                else:
                    said = self.refused("InvalidSignatureException", call)
                    self.assertIn("15 minutes", said["Error"]["Message"])

    def test_keys_may_do_what_the_rules_give_their_accounts(self):
        server = self.keyed()
        ecr, reader = client(server), client(server, Seen(), key=READER, secret=READERS_SECRET)
        here = {"repositoryName": REPOSITORY}
        ecr.create_repository(**here)
        reader.describe_images(**here)
        reader.describe_repositories(repositoryNames=[REPOSITORY])
        for call, more in (
            (reader.create_repository, {"repositoryName": "team/mine"}),
            (reader.initiate_layer_upload, here),
            (reader.put_image, {"imageManifest": image(b"{}"), **here}),
            (reader.batch_delete_image, {"imageIds": [{"imageTag": "1.0"}], **here}),
            (reader.delete_repository, here),
            (reader.put_repository_catalog_data, {"catalogData": {}, **here}),
            (reader.set_repository_policy, {"policyText": "{}", **here}),
            (reader.tag_resource, {"resourceArn": ARN, "tags": []}),
            (reader.put_registry_catalog_data, {}),
            (reader.describe_repositories, {}),
        ):
            said = self.refused("AccessDeniedException", call, **more)
            self.assertIn(f"User: {READER} is not authorized to perform: ecr-public:", said["Error"]["Message"])

    def test_without_accounts_any_key_is_taken_from_this_machine_and_no_page_of_a_browser(self):
        server = self.serve()
        ecr = client(server, Seen(), key="WHATEVER", secret="whatever")
        ecr.create_repository(repositoryName=REPOSITORY)
        ecr.meta.events.register(
            "before-send.ecr-public", lambda request, **_: request.headers.update(Origin="http://evil.example")
        )
        self.refused("AccessDeniedException", ecr.describe_repositories)
        unsigned = {"X-Amz-Target": "SpencerFrontendService.DescribeRegistries"}
        status, _, body = server.request("POST", "/", b"{}", unsigned)
        self.assertEqual((status, json.loads(body)["__type"]), (400, "MissingAuthenticationTokenException"))

    def test_accounts_without_keys_leave_the_api_to_nobody(self):
        server = self.serve("--config", self.access())
        self.refused("UnrecognizedClientException", client(server, Seen()).describe_registries)


class Mutability(WithAws):
    """The argument that AWS lacks. boto3 does not know it, and is told what the model would have to say."""

    def create(self, server, name, **more):
        ecr = client(server, Seen(), checked=False)
        ecr.meta.events.register(
            "before-call.ecr-public.CreateRepository",
            lambda params, **_: params.update(body=json.dumps({"repositoryName": name, **more}).encode()),
        )
        return ecr.create_repository(repositoryName=name)

    def tags(self, server, name, *tags):
        """Puts two images under each tag; whether the second one is taken."""
        ecr = client(server)
        put_layer(ecr, b"{}", name)
        moved = []
        for tag in tags:
            ecr.put_image(repositoryName=name, imageManifest=image(b"{}", mark=f"{tag} one"), imageTag=tag)
            second = {"repositoryName": name, "imageManifest": image(b"{}", mark=f"{tag} two"), "imageTag": tag}
            try:
                ecr.put_image(**second)
                moved.append(tag)
            except ecr.exceptions.ImageTagAlreadyExistsException:
                pass
        return moved

    def said(self, server, name):
        """What the API says of it in the members that botocore does not know, and keeps to itself."""
        found = []
        ecr = client(server)
        ecr.meta.events.register(
            "after-call.ecr-public", lambda http_response, **_: found.append(http_response.content)
        )
        ecr.describe_repositories(repositoryNames=[name])
        (repository,) = json.loads(found[0])["repositories"]
        filters = repository.get("imageTagMutabilityExclusionFilters", [])
        return repository["imageTagMutability"], [one["filter"] for one in filters]

    def test_create_repository_takes_it_as_private_ecr_does(self):
        server = self.keyed()
        wildcard = {"imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "dev-*"}]}
        for number, (word, more, moved) in enumerate((
            ("IMMUTABLE", {}, []),
            ("MUTABLE", {}, ["1.0", "dev-1"]),
            ("IMMUTABLE_WITH_EXCLUSION", wildcard, ["dev-1"]),
            ("MUTABLE_WITH_EXCLUSION", wildcard, ["1.0"]),
        )):  # fmt: skip
            name = f"team/model-{number}"
            self.create(server, name, imageTagMutability=word, **more)
            self.assertEqual(self.tags(server, name, "1.0", "dev-1"), moved, word)
            self.assertEqual(self.said(server, name), (word, ["dev-*"] if more else []))

    def test_without_it_the_policy_of_the_server_holds(self):
        for policy, word in (("MUTABLE", "MUTABLE"), ("IMMUTABLE", "IMMUTABLE"), ("never", "IMMUTABLE")):
            server = self.keyed("--create-repositories", policy)
            name = f"team/{policy.lower()}"
            client(server).create_repository(repositoryName=name)
            self.assertEqual(self.said(server, name), (word, []))

    def test_what_is_no_policy_is_refused(self):
        server = self.keyed()
        one = {"filterType": "WILDCARD", "filter": "dev-*"}
        for wrong in (
            {"imageTagMutability": "immutable"},
            {"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"},
            {"imageTagMutability": "IMMUTABLE", "imageTagMutabilityExclusionFilters": [one]},
            {"imageTagMutabilityExclusionFilters": [one]},
            {"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION", "imageTagMutabilityExclusionFilters": [one] * 6},
            {"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
             "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "a b"}]},
            {"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
             "imageTagMutabilityExclusionFilters": [{"filterType": "REGEX", "filter": "a"}]},
        ):  # fmt: skip
            self.refused("InvalidParameterException", lambda: self.create(server, "team/wrong", **wrong))
        self.assertEqual(client(server).describe_repositories()["repositories"], [])


class CommandLine(WithAws):
    def test_aws_ecr_public_drives_every_operation(self):
        server = self.keyed()
        used = set()

        def aws(operation, *words, **options):
            used.add(operation)
            return self.aws(server, operation, *words, **options)

        here = ["--repository-name", REPOSITORY]
        made = aws("create-repository", *here, "--catalog-data", "description=Digits", "--tags", "Key=team,Value=a")
        self.assertEqual(made["repository"]["repositoryUri"], f"{server.host}/{REPOSITORY}")
        said = aws("create-repository", *here, expect=255)
        self.assertIn("(RepositoryAlreadyExistsException) when calling the CreateRepository operation", said)
        (found,) = aws("describe-repositories")["repositories"]
        self.assertEqual(found, made["repository"])
        aws("put-repository-catalog-data", *here, "--catalog-data", "aboutText=Reads digits,architectures=x86-64")
        self.assertEqual(aws("get-repository-catalog-data", *here)["catalogData"]["aboutText"], "Reads digits")
        aws("put-registry-catalog-data", "--display-name", "Models")
        self.assertEqual(aws("get-registry-catalog-data")["registryCatalogData"]["displayName"], "Models")
        (self.dir / "policy.json").write_text('{"Version": "2008-10-17", "Statement": []}')
        aws("set-repository-policy", *here, "--policy-text", "file://policy.json")
        self.assertIn("2008-10-17", aws("get-repository-policy", *here)["policyText"])
        aws("delete-repository-policy", *here)
        aws("tag-resource", "--resource-arn", ARN, "--tags", "Key=more,Value=b")
        aws("untag-resource", "--resource-arn", ARN, "--tag-keys", "team")
        self.assertEqual(aws("list-tags-for-resource", "--resource-arn", ARN)["tags"], [{"Key": "more", "Value": "b"}])
        self.assertEqual(aws("describe-registries")["registries"][0]["registryId"], ACCOUNT)
        self.assertIn("expiresAt", aws("get-authorization-token")["authorizationData"])

        (self.dir / "layer").write_bytes(b"{}")
        upload = ["--upload-id", aws("initiate-layer-upload", *here)["uploadId"]]
        part = ["--part-first-byte", "0", "--part-last-byte", "1", "--layer-part-blob", "fileb://layer"]
        self.assertEqual(aws("upload-layer-part", *here, *upload, *part)["lastByteReceived"], 1)
        aws("complete-layer-upload", *here, *upload, "--layer-digests", digest_of(b"{}"))
        (layer,) = aws("batch-check-layer-availability", *here, "--layer-digests", digest_of(b"{}"))["layers"]
        self.assertEqual(layer["layerAvailability"], "AVAILABLE")
        (self.dir / "manifest.json").write_text(image(b"{}"))
        aws("put-image", *here, "--image-manifest", "file://manifest.json", "--image-tag", "1.0")
        (self.dir / "other.json").write_text(image(b"{}", mark="other"))
        said = aws("put-image", *here, "--image-manifest", "file://other.json", "--image-tag", "1.0", expect=255)
        self.assertIn("ImageTagAlreadyExistsException", said)
        (detail,) = aws("describe-images", *here)["imageDetails"]
        (tag,) = aws("describe-image-tags", *here)["imageTagDetails"]
        self.assertEqual(tag["imageDetail"]["imageDigest"], detail["imageDigest"])
        self.assertIn("RepositoryNotEmptyException", aws("delete-repository", *here, expect=255))
        aws("batch-delete-image", *here, "--image-ids", "imageTag=1.0")
        aws("delete-repository", *here)
        named = {re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower() for name in MODEL.operation_names}
        self.assertEqual(used, named)


class Login(WithAws):
    """`aws ecr-public get-login-password | docker login`, and what docker may do then."""

    @classmethod
    def setUpClass(cls):
        cls.docker = Dockerd()
        cls.addClassCleanup(cls.docker.stop)

    def login(self, server, **options):
        docker = self.docker.command("login", "--username", "AWS", "--password-stdin", server.host)
        return pipe(
            [AWS, "ecr-public", "get-login-password"], docker, self.environment(server, **options),
            {"PATH": os.environ["PATH"], "HOME": str(self.dir)},
        )  # fmt: skip

    def push_and_pull(self, server):
        reference = f"{server.host}/{REPOSITORY}:1.0"
        client(server).create_repository(repositoryName=REPOSITORY)
        self.docker.build(reference, "hello by key")
        self.docker("push", reference)
        self.docker("image", "rm", "--force", reference)
        self.docker("pull", reference)
        self.assertEqual(self.docker("run", "--rm", "--network", "none", reference), "hello by key")
        self.docker("image", "rm", "--force", reference)
        return reference

    def test_docker_logs_in_by_a_key_and_pushes_and_pulls_as_its_account(self):
        for settings in ("mode = 'bearer'", "mode = 'basic'"):
            with self.subTest(settings):
                self.store = self.another_store(settings.split("'")[1])
                server = self.keyed(settings=settings)
                self.assertIn("Login Succeeded", self.login(server))
                self.push_and_pull(server)
                (version,) = self.versions(REPOSITORY)
                self.assertEqual(version["author"], "ada")
                self.docker("logout", server.host)
                self.assertIn("Login Succeeded", self.login(server, key=READER, secret=READERS_SECRET))
                self.docker("pull", f"{server.host}/{REPOSITORY}:1.0")
                self.docker("tag", f"{server.host}/{REPOSITORY}:1.0", f"{server.host}/{REPOSITORY}:2.0")
                said = self.docker.refuses("push", f"{server.host}/{REPOSITORY}:2.0")
                self.assertIn(f"{READER} may not do this here", said)

    def test_docker_logs_in_to_a_server_without_accounts(self):
        server = self.serve()
        self.assertIn("Login Succeeded", self.login(server, key="WHATEVER", secret="whatever"))
        self.push_and_pull(server)

    def test_a_login_is_good_as_password_and_as_token_and_ends_with_its_key(self):
        server = self.keyed()
        token = client(server).get_authorization_token()["authorizationData"]
        left = token["expiresAt"] - datetime.datetime.now(datetime.timezone.utc)
        self.assertAlmostEqual(left.total_seconds(), 12 * 3600, delta=60)
        token = token["authorizationToken"]
        for field in (f"Basic {token}", f"Bearer {token}"):
            status, _, _ = server.request("GET", "/v2/", headers={"Authorization": field})
            self.assertEqual(status, 200, field.split()[0])
        # It does not become a proof that outlives it.
        _, _, body = server.request("GET", "/token?offline_token=true", headers={"Authorization": f"Basic {token}"})
        self.assertNotIn("refresh_token", json.loads(body))
        self.assertLessEqual(json.loads(body)["expires_in"], 12 * 3600)
        name, password = base64.b64decode(token).decode().split(":", 1)
        for wrong in (f"AWS:{password}x", f"ada:{password}", f"AWS:{SECRET}"):
            field = "Basic " + base64.b64encode(wrong.encode()).decode()
            status, _, _ = server.request("GET", "/v2/", headers={"Authorization": field})
            self.assertEqual(status, 401, wrong)
        server.stop()
        without = self.serve("--aws-key", f"{READER}:{READERS_SECRET}")
        for field in (f"Basic {token}", f"Bearer {token}"):
            status, _, _ = without.request("GET", "/v2/", headers={"Authorization": field})
            self.assertEqual(status, 401, field.split()[0])
