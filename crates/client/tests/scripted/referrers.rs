//! What says something about a manifest: listed by the registry, or under a tag by its clients.

use std::sync::{Arc, Mutex};

use modelkeep_client::Access;
use modelkeep_core::{Descriptor, Digest, Index, Manifest, content, manifest::to_json, media};

use crate::{
    registry,
    server::{Answer, Asked, Server, answer, head_answer},
};

fn index(manifests: Vec<Descriptor>) -> Vec<u8> {
    to_json(&Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: Default::default(),
    })
}

fn about(subject: &[u8]) -> Descriptor {
    Descriptor::of(media::OCI_MANIFEST, subject)
}

/// A manifest that says something about `subject`.
fn referrer(subject: &[u8]) -> Vec<u8> {
    to_json(&Manifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: Some("application/x-signature".to_owned()),
        config: Descriptor::of("application/vnd.oci.empty.v1+json", b"{}"),
        layers: Vec::new(),
        subject: Some(about(subject)),
        annotations: Default::default(),
    })
}

const TYPE: (&str, &str) = ("Content-Type", media::OCI_INDEX);

#[test]
fn pages_of_referrers_are_put_together() {
    let server = Server::start(|asked, _| {
        if asked.target.ends_with("?page=2") {
            return answer(200, &[TYPE], index(vec![about(b"1"), about(b"2")]));
        }
        let link = format!("<{}?page=2>; rel=\"next\"", asked.target);
        answer(200, &[TYPE, ("Link", &link)], index(vec![about(b"1")]))
    });
    let found = registry(&server, Access::Read)
        .referrers(&Digest::of(b"image"))
        .unwrap();
    assert_eq!(found, [about(b"1"), about(b"2")]);
}

#[test]
fn pages_without_end_are_refused() {
    let server = Server::start(|asked, _| {
        let link = format!("<{}>; rel=\"next\"", asked.target);
        answer(200, &[TYPE, ("Link", &link)], index(vec![about(b"1")]))
    });
    let registry = registry(&server, Access::Read);
    assert!(registry.referrers(&Digest::of(b"image")).is_err());
}

/// A registry that keeps no lists: manifests by tag only, in memory. It forgets the first list that it is given, as if
/// another client had written its own.
fn without_lists(forgets: usize) -> (Server, Arc<Mutex<Vec<u8>>>) {
    let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
    let tagged = Arc::clone(&kept);
    let tag = format!("/v2/team/model/manifests/sha256-{}", Digest::of(b"image").hex());
    let server = Server::start(move |asked: &Asked, before| {
        let mut tagged = tagged.lock().unwrap();
        let digest = Digest::of(&tagged).to_string();
        let headers = [TYPE, ("Docker-Content-Digest", digest.as_str())];
        let is_list = asked.target == tag || asked.target.ends_with(&digest);
        match asked.method.as_str() {
            "PUT" if asked.target == tag => {
                if before >= forgets {
                    tagged.clone_from(&asked.body);
                }
                answer(201, &[], "")
            }
            "PUT" => answer(201, &[], ""),
            "HEAD" if is_list && !tagged.is_empty() => head_answer(&headers, tagged.len()),
            "GET" if is_list && !tagged.is_empty() => answer(200, &headers, &*tagged),
            // As registries do that never heard of it.
            _ if asked.target.contains("/referrers/") => {
                answer(404, &[("Content-Type", "text/plain")], "404")
            }
            _ => answer(404, &[], ""),
        }
    });
    (server, kept)
}

#[test]
fn where_the_registry_keeps_no_list_its_clients_do() {
    for forgets in [0, 1] {
        let (server, kept) = without_lists(forgets);
        let registry = registry(&server, Access::Write);
        let image = Digest::of(b"image");
        assert_eq!(registry.referrers(&image).unwrap(), []);
        let bytes = referrer(b"image");
        let put = registry.put_referrer(media::OCI_MANIFEST, &bytes).unwrap();
        assert_eq!(put.artifact_type.as_deref(), Some("application/x-signature"));
        assert_eq!(registry.referrers(&image).unwrap(), std::slice::from_ref(&put));
        // Listed once, however often it is sent.
        registry.put_referrer(media::OCI_MANIFEST, &bytes).unwrap();
        let list: Index = serde_json::from_slice(&kept.lock().unwrap()).unwrap();
        assert_eq!(list.manifests, [put]);
    }
}

#[test]
fn a_list_that_others_go_on_writing_is_given_up() {
    let (server, _) = without_lists(usize::MAX);
    let registry = registry(&server, Access::Write);
    assert!(
        registry
            .put_referrer(media::OCI_MANIFEST, &referrer(b"image"))
            .is_err()
    );
}

#[test]
fn a_registry_that_lists_itself_needs_no_tag() {
    let subject = Digest::of(b"image").to_string();
    let server = Server::start(move |asked, _| -> Answer {
        assert_eq!(asked.method, "PUT");
        answer(201, &[("OCI-Subject", &subject)], "")
    });
    let registry = registry(&server, Access::Write);
    registry
        .put_referrer(media::OCI_MANIFEST, &referrer(b"image"))
        .unwrap();
    assert_eq!(server.count("PUT", "/v2/team/model/manifests/"), 1);
}

#[test]
fn what_says_nothing_about_another_is_no_referrer() {
    let server = Server::start(|_, _| answer(500, &[], ""));
    let registry = registry(&server, Access::Write);
    let plain = index(Vec::new());
    let error = registry.put_referrer(media::OCI_INDEX, &plain).unwrap_err();
    assert!(matches!(error, content::Error::Malformed { .. }));
    assert_eq!(server.asked().len(), 0);
}
