//! What a registry on the network does, without writing anything.

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use modelkeep_client::{Greeting, Identity};
use modelkeep_core::{Digest, Host, RepoName, Tag, content::Names};
use modelkeep_ledger::History;

use super::{Findings, check, probe, tags};
use crate::{
    error::{Exit, Failure},
    held::read_manifest,
    promise::Keeper,
    report::json::Check,
    settings::Settings,
    wiring::{self, Endpoint, Remote},
};

/// Tags of a page: what registries give at most.
const PAGE: u32 = 1000;

pub(super) fn examine(
    settings: &Settings,
    host: &Host,
    name: &RepoName,
    writes: bool,
) -> Result<Findings, Failure> {
    let endpoint = match writes {
        true => wiring::to_change(settings, Some(host), name)?,
        false => wiring::repository(settings, Some(host), name)?,
    };
    let Endpoint::Remote(remote) = &endpoint else {
        unreachable!("what has a host is a registry");
    };
    let greeting = remote.greet()?;
    let milliseconds = greeting.took.as_millis();
    let mut findings = Findings {
        checks: vec![check(
            "reachable",
            "yes",
            format!("it answered in {milliseconds} ms"),
        )],
        keeper: Keeper::Client,
        protocol_tags: Vec::new(),
        left_behind: Vec::new(),
        exit: Exit::Done,
    };
    let history = findings.history(&endpoint);
    let keeper = findings.keeper;
    findings.checks.insert(1, credentials(remote));
    findings.checks.push(clock(&greeting));
    findings.checks.push(match keeper {
        Keeper::Registry => check("compare_and_set", "yes", "an entry is added only after the newest"),
        _ => check(
            "compare_and_set",
            "no",
            format!(
                "of those who publish at once claims find one winner; that costs each at least twice {:?} (settle)",
                settings.settle.value
            ),
        ),
    });
    findings.checks.push(match remote.kept()? {
        Some(kept) => match kept.mutability() {
            Some(policy) => check(
                "immutable_tags",
                policy.as_str(),
                "the policy that the registry keeps",
            ),
            None => check(
                "immutable_tags",
                "unknown",
                "there is no such repository, and a push makes none",
            ),
        },
        None => unmeasured("immutable_tags"),
    });
    let subject = history.last().map(|last| last.manifest().digest.clone());
    findings.checks.push(
        match remote.lists_referrers(&subject.unwrap_or_else(|| Digest::of(b"")))? {
            true => check("referrers", "yes", "the registry lists what refers to a manifest"),
            false => check(
                "referrers",
                "no",
                "signatures are listed under tags (sha256-HEX) instead",
            ),
        },
    );
    findings.checks.extend(lists(remote)?);
    findings.checks.push(ranges(&endpoint, remote, &history)?);
    for name in ["list_delay", "mount", "delete_tags", "delete_manifests"] {
        findings.checks.push(unmeasured(name));
    }
    if writes {
        probe::measure(remote, &mut findings)?;
    }
    findings.protocol_tags = tags::of_protocol(&all_tags(remote)?);
    Ok(findings)
}

fn unmeasured(name: &'static str) -> Check {
    check(name, "unknown", "it takes a write to measure: `--probe`")
}

fn credentials(remote: &Remote) -> Check {
    match remote.identity() {
        Identity::Anybody => check("credentials", "none", "it did not ask who we are"),
        Identity::Anonymous => check(
            "credentials",
            "none",
            "it asked, and lets whoever shows nothing read",
        ),
        Identity::Known => check(
            "credentials",
            "stored",
            "it asked, and what is stored for it was shown",
        ),
    }
}

/// The clock of the registry against ours, in the middle of the exchange.
fn clock(greeting: &Greeting) -> Check {
    let date = greeting
        .date
        .as_deref()
        .and_then(|date| rfc2822::parse(date).ok());
    let Some(date) = date else {
        return check("clock", "unknown", "the registry does not say what time it is");
    };
    let half = SignedDuration::try_from(greeting.took / 2).unwrap_or_default();
    let seconds = (date.timestamp() - (Timestamp::now() - half)).get_seconds();
    let said = match seconds {
        -2..=2 => "it is right, as far as whole seconds tell",
        _ => "one of the two clocks is wrong: what is dated by it seems too new, or too old",
    };
    check("clock", format!("{seconds:+} s"), said)
}

/// Order and pages of the list of tags.
fn lists(remote: &Remote) -> Result<[Check; 2], Failure> {
    let all = remote.tag_page(PAGE)?.tags;
    if all.len() < 2 {
        let few = "it takes two tags to see it";
        return Ok([
            check("tag_order", "unknown", few),
            check("tag_pages", "unknown", few),
        ]);
    }
    let order = match all.is_sorted() {
        true => check("tag_order", "sorted", "by their bytes, as the specification says"),
        false => check("tag_order", "unsorted", "modelkeep sorts them itself"),
    };
    let one = remote.tag_page(1)?;
    let pages = match (one.tags.len(), one.goes_on) {
        (0..=1, true) => check("tag_pages", "yes", "a long list comes by the page"),
        (0..=1, false) => check(
            "tag_pages",
            "broken",
            "of a list that is cut off it does not say how it goes on",
        ),
        _ => check("tag_pages", "no", "it gives more tags than it is asked for"),
    };
    Ok([order, pages])
}

fn ranges(endpoint: &Endpoint, remote: &Remote, history: &History) -> Result<Check, Failure> {
    let newest = history
        .newest_first()
        .first()
        .map(|newest| newest.manifest().clone());
    let manifest = match newest {
        Some(manifest) => Some(manifest),
        None => any_tag(remote)?.map_or(Ok(None), |tag| remote.resolve(&tag))?,
    };
    let config = manifest.and_then(|manifest| read_manifest(endpoint.source(), &manifest).ok());
    match config.filter(|image| image.config.size > 0) {
        None => Ok(check("ranges", "unknown", "there is no image to read a part of")),
        Some(image) => said_of_ranges(remote.sends_ranges(&image.config)?),
    }
}

pub(super) fn said_of_ranges(sends: bool) -> Result<Check, Failure> {
    Ok(match sends {
        true => check(
            "ranges",
            "yes",
            "a pull that broke off goes on, and parts of files are read alone",
        ),
        false => check("ranges", "no", "what breaks off begins anew"),
    })
}

fn any_tag(remote: &Remote) -> Result<Option<Tag>, Failure> {
    Ok(all_tags(remote)?.into_iter().find(|tag| !tag.is_reserved()))
}

fn all_tags(remote: &Remote) -> Result<Vec<Tag>, Failure> {
    match remote.tags() {
        Err(modelkeep_core::content::Error::NotFound { .. }) => Ok(Vec::new()),
        tags => Ok(tags?),
    }
}
