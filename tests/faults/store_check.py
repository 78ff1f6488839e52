"""Reads the raw files of a store, without modelkeep's code, and says what versions they hold.

    v1/blobs/sha256/AB/ABCD...            a blob, named by its SHA-256
    v1/repos/NAME/_history/00000001       an entry, which names the one before it by SHA-256
    v1/repos/NAME/_manifests/sha256.HEX   a manifest of the repository
    v1/repos/NAME/_tags/VERSION           the descriptor of the version's manifest
"""

import hashlib
import json

from common import check

PREDICATE = "https://modelkeep.dev/history/v1"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def blob(home, descriptor):
    """The bytes of a blob, after its size and digest were found right."""
    name = descriptor["digest"].removeprefix("sha256:")
    data = (home / "v1" / "blobs" / "sha256" / name[:2] / name).read_bytes()
    check(len(data) == descriptor["size"] and sha256(data) == descriptor["digest"], f"blob {name} is not what its name says")
    return data


def check_manifest(home, descriptor):
    """The digests of a manifest and the manifests below it, all that they name having been read."""
    manifest = json.loads(blob(home, descriptor))
    digests = {descriptor["digest"]}
    for child in manifest.get("manifests", []):
        digests |= check_manifest(home, child)
    if "config" in manifest:
        blob(home, manifest["config"])
        for layer in manifest["layers"]:
            blob(home, layer)
    return digests


def check_store(home, repository):
    """The versions of a repository and their manifests' digests, {version: digest}.

    Fails when the entries are not one unbroken chain, when a version was published twice, when a tag or
    a manifest is there that no entry published, or when something that a version needs is missing.
    """
    folder = home / "v1" / "repos" / repository
    names = sorted(path.name for path in (folder / "_history").iterdir())
    check(names == [f"{height:08}" for height in range(1, len(names) + 1)], f"the entries have gaps: {names}")
    versions, manifests, before, first = {}, set(), None, None
    for height, name in enumerate(names, start=1):
        data = (folder / "_history" / name).read_bytes()
        entry = json.loads(data)
        predicate, (subject,) = entry["predicate"], entry["subject"]
        version, manifest = subject["name"], predicate["manifest"]
        check(entry["predicateType"] == PREDICATE and predicate["height"] == height, f"entry {name} is not number {height}")
        check(predicate.get("parents", []) == ([before] if before else []), f"entry {name} does not follow the one before it")
        check(predicate.get("history") == first, f"entry {name} belongs to another history")
        check(subject["digest"] == {"sha256": manifest["digest"].removeprefix("sha256:")}, f"entry {name} is about something else")
        check(version not in versions, f"{version} was published twice")
        tag = json.loads((folder / "_tags" / version).read_bytes())
        check(tag["digest"] == manifest["digest"], f"the tag {version} says {tag['digest']}, its entry {manifest['digest']}")
        manifests |= check_manifest(home, manifest)
        versions[version] = manifest["digest"]
        before = sha256(data)
        first = first or before
    tags = {path.name for path in (folder / "_tags").iterdir()}
    check(tags == set(versions), f"tags that nobody published: {sorted(tags - set(versions))}")
    held = {path.name.replace(".", ":") for path in (folder / "_manifests").iterdir()}
    check(held == manifests, f"manifests that nobody published: {sorted(held - manifests)}")
    return versions
