"""Reads the raw files of a store, without modelkeep's code, and says what versions they hold.

It knows three things only: a history entry is a file of JSON with the predicate type below, kept under
a folder that is named for its repository; an entry names the one before it by SHA-256; and a blob is a
file named by its SHA-256 in hexadecimal digits.
"""

import hashlib
import json

from common import check

PREDICATE = "https://modelkeep.dev/history/v1"
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json")


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def entries_of(home, repository):
    """The bytes of every history entry in the repository's folder, once each."""
    found = set()
    for path in home.rglob("*"):
        if repository in path.relative_to(home).parts and path.is_file() and path.stat().st_size < 1024 * 1024:
            data = path.read_bytes()
            if PREDICATE.encode() in data:
                found.add(data)
    return found


def check_blob(blobs, digest, size):
    """The bytes of a blob, after its size and digest were found right."""
    path = blobs.get(digest.removeprefix("sha256:"))
    check(path, f"{digest} is named and not stored")
    data = path.read_bytes()
    check(len(data) == size and sha256(data) == digest, f"{path} is not what its name says")
    return data


def check_manifest(blobs, descriptor):
    manifest = json.loads(check_blob(blobs, descriptor["digest"], descriptor["size"]))
    check(manifest["mediaType"] in MANIFESTS, f"{descriptor['digest']} is a {manifest['mediaType']}")
    for child in manifest.get("manifests", []):
        check_manifest(blobs, child)
    for child in [*manifest.get("layers", []), *([manifest["config"]] if "config" in manifest else [])]:
        check_blob(blobs, child["digest"], child["size"])


def check_store(home, repository):
    """The versions of a repository and their manifests' digests, {version: digest}.

    Fails when the entries are not one unbroken chain, when a version was published twice, or when
    something that a version needs is missing or damaged.
    """
    blobs = {path.name: path for path in home.rglob("*") if len(path.name) == 64 and path.is_file()}
    found = entries_of(home, repository)
    entries = {json.loads(data)["predicate"]["height"]: data for data in found}
    check(len(entries) == len(found), "two entries have the same height: the history forked")
    check(sorted(entries) == list(range(1, len(entries) + 1)), f"the heights have gaps: {sorted(entries)}")
    versions, before, first = {}, None, None
    for height in sorted(entries):
        data = entries[height]
        entry = json.loads(data)
        predicate = entry["predicate"]
        check(predicate.get("parents", []) == ([before] if before else []), f"entry {height} does not follow the one before it")
        check(predicate.get("history") == first, f"entry {height} belongs to another history")
        subject = entry["subject"][0]
        manifest = predicate["manifest"]
        check(subject["digest"] == {"sha256": manifest["digest"].removeprefix("sha256:")}, f"entry {height} is about something else")
        check(subject["name"] not in versions, f"{subject['name']} was published twice")
        check_manifest(blobs, manifest)
        versions[subject["name"]] = manifest["digest"]
        before = sha256(data)
        first = first or before
    return versions
